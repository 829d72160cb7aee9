// Reduced copy of django-unfold's `unfold/js/app.js` (MIT licence): the functions that pages of the console use, unchanged.
// It replaces that file, because parts of the original write into fields of forms: `fileInputUpdatePath` puts the name
// of a chosen file into the first text field beside it. A test compares the copy with the pinned version.
window.addEventListener("load", () => {
	scrollSidebarNav();
});

function isFilterModalOpen() {
	const changelistFilter = document.getElementById("changelist-filter-close");

	if (changelistFilter) {
		return window.getComputedStyle(changelistFilter).display === "block";
	}

	return false;
}

function theme(defaultTheme = "auto") {
	const themeLocked = defaultTheme !== "auto";

	return {
		sidebarWidth: localStorage.getItem("sidebarWidth") || 288,
		sidebarOpen() {
			if (window.innerWidth <= 1280) {
				return false;
			} else {
				const sidebarOpenValue = localStorage.getItem("sidebarOpen");

				if (sidebarOpenValue === null) {
					return true;
				}
				return sidebarOpenValue !== "0";
			}
		},
		sidebarToggle() {
			this.sidebarOpen = !this.sidebarOpen;

			if (window.innerWidth > 1280) {
				localStorage.setItem("sidebarOpen", this.sidebarOpen ? "1" : "0");
			}
		},
		siteDropdownOpen: false,
		shortcutsOpen: false,
		openCommandResults: false,
		openModal: false,
		modalContentClasses: "",
		filterOpen: false,
		filterModalOpen: false,
		openAllApplications: false,
		adminTheme: themeLocked
			? defaultTheme
			: Alpine.$persist(defaultTheme).as("adminTheme"),
		init() {
			this.$watch("filterOpen", (value) => {
				if (isFilterModalOpen()) {
					this.filterModalOpen = !!value;
				}
			});
		},
		switchTheme(theme) {
			if (themeLocked) {
				return;
			}

			this.adminTheme = theme;
		},
		themeBindings: {
			["x-resize.window"]() {
				if (window.innerWidth <= 1280) {
					this.sidebarOpen = false;
				} else {
					this.sidebarOpen =
						localStorage.getItem("sidebarOpen") === "0" ? false : true;
				}
			},
			["x-bind:class"]() {
				if (
					this.adminTheme === "dark" ||
					(this.adminTheme === "auto" && window.parent.matchMedia("(prefers-color-scheme: dark)").matches)
				) {
					return "dark";
				}

				if (this.adminTheme === "light") {
					return "light";
				}

				return "";
			},
			["x-on:keydown.window"](event) {
				const isInput =
					document.activeElement.tagName.toLowerCase() === "input" ||
					document.activeElement.tagName.toLowerCase() === "textarea" ||
					document.activeElement.isContentEditable;

				if (isInput) {
					return;
				}

				if (event.shiftKey && event.key === "?") {
					event.preventDefault();
					this.shortcutsOpen = !this.shortcutsOpen;
				}

				if (event.key === "/") {
					event.preventDefault();
					document.getElementById("searchbar")?.focus();
				}

				if (!event.metaKey && !event.ctrlKey && event.key === "[") {
					event.preventDefault();
					this.sidebarToggle();
				}

				if (!event.metaKey && !event.ctrlKey && event.key === "f") {
					const filterOpenButton = document.querySelector(
						".filter-open-button",
					);

					if (filterOpenButton) {
						this.filterOpen = !this.filterOpen;
					}
				}

				if (!event.metaKey && !event.ctrlKey && event.key === "c") {
					const addLink = document.querySelector(".addlink");

					if (addLink) {
						addLink.click();
					}
				}

				if ((event.metaKey || event.ctrlKey) && event.key === "e") {
					if (themeLocked) {
						return;
					}

					event.preventDefault();

					if (this.adminTheme === "light") {
						this.adminTheme = "dark";
					} else {
						this.adminTheme = "light";
					}
				}
			},
		},
	};
}

function scrollSidebarNav() {
	const sidebarNav = document.getElementById("nav-sidebar-apps");

	if (!sidebarNav) {
		return;
	}

	const activeItem = sidebarNav.querySelector("a.active");

	if (!activeItem) {
		return;
	}

	function isActiveItemVisible() {
		const sidebarRect = sidebarNav.getBoundingClientRect();
		const itemRect = activeItem.getBoundingClientRect();

		return (
			itemRect.top >= sidebarRect.top && itemRect.bottom <= sidebarRect.bottom
		);
	}

	if (!isActiveItemVisible()) {
		sidebarNav.scrollTo({
			top: activeItem.offsetTop,
		});
	}
}
