// Before the first paint, so that a chosen theme does not flash; a classic script on purpose.
(() => {
  const chosen = localStorage.getItem("orchestra-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
