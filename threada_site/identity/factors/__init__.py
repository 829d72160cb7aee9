"""Second factors of people: authenticator apps, passkeys, recovery codes, and the second step of a sign-in.

* `kernel/factors.py`: names of factors, and the factors of a session (`session_factors`, `add_factors`).
* `enrolled.py`: the factors of a person.
* `second_step.py`: a sign-in whose password was right and whose second factor is missing (`PendingSecondStep`), the
  end of it (`complete_second_step`), and the start of a session (`open_session`).
* `admin/reauthentication.py`: step-up inside a session (`record_step_up`).
"""
