// Names and roles that the theme and its extensions leave out or wrong, and keyboard access to boxes that scroll.
document.addEventListener("DOMContentLoaded", () => {
  const all = (selector) => document.querySelectorAll(selector);

  // A button's name begins with the text that is seen on it.
  for (const button of all("button[aria-label]")) {
    const seen = button.textContent.trim().replace(/\s+/g, " ");
    const label = button.getAttribute("aria-label");
    if (seen && !label.includes(seen)) button.setAttribute("aria-label", seen === label ? seen : `${seen} (${label})`);
  }
  for (const fold of all("summary[aria-label]")) {
    if (fold.textContent.trim()) fold.removeAttribute("aria-label");
  }
  // The icons of the colour switch are drawings; its name says what it does. Font Awesome replaces them when it likes.
  const hush = () => {
    for (const icon of all(".theme-switch-button .theme-switch")) {
      icon.querySelector("title")?.remove();
      for (const name of ["title", "role", "aria-labelledby"]) icon.removeAttribute(name);
      icon.setAttribute("aria-hidden", "true");
    }
  };
  hush();
  for (const button of all(".theme-switch-button")) new MutationObserver(hush).observe(button, { childList: true, subtree: true });
  // The arrow that opens a branch of the sidebar is named after the page it belongs to.
  for (const arrow of all("nav details > summary")) {
    const page = arrow.closest("li")?.querySelector("a");
    if (!arrow.textContent.trim() && page) arrow.setAttribute("aria-label", `Pages under ${page.textContent.trim()}`);
  }
  // The roles of the bibliography are deprecated, or ask for children that it does not have.
  for (const entry of all("[role='doc-biblioentry'], .citation-list")) entry.removeAttribute("role");

  for (const box of all(".kd-wide, .cell_output .text_html, pre, div.math, mjx-container, .pst-scrollable-table-container")) {
    if (box.scrollWidth > box.clientWidth && !box.hasAttribute("tabindex")) box.tabIndex = 0;
  }
});
