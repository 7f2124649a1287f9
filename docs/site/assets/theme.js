// Before the first paint: the reader's choice of light or dark, if there is one.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // No storage, no choice.
}
