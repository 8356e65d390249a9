// Runs before the first paint: takes the theme of the last start, so that no white flash shows in a dark window.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme is used.
}
