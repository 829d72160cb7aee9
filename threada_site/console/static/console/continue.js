// Sends the form of `continue_in_session.html` at once.
"use strict";
document.querySelector("form[data-continue]").requestSubmit();
