// Navigation: filters, whose values are stored only in the address, the search field, and the / key.
(() => {
  "use strict";

  const TYPING_PAUSE = 180;

  // React Router's navigate function, once it has been reported.
  let navigate = (address) => location.assign(address);
  let typing;

  const writeFilters = (form, replace) => {
    const values = new URLSearchParams(location.search);
    values.delete("page");
    for (const field of form.elements) {
      if (!field.name) continue;
      if (field.value.trim()) values.set(field.name, field.value.trim());
      else values.delete(field.name);
    }
    const query = values.toString();
    navigate(location.pathname + (query && `?${query}`), { replace, preventScrollReset: true });
  };

  const readFilter = (field) => {
    const value = new URLSearchParams(location.search).get(field.name) ?? "";
    if (field.value.trim() === value || (field === document.activeElement && field.type === "search")) return;
    field.value = value;
    // The options may not have arrived yet.
    if (field.tagName === "SELECT" && field.value !== value) {
      field.value = "";
      const options = new MutationObserver(() => {
        options.disconnect();
        readFilter(field);
      });
      options.observe(field, { childList: true });
    }
  };

  // Some filters appear only once the page has loaded.
  new MutationObserver((changes) => {
    for (const node of changes.flatMap((change) => [...change.addedNodes])) {
      if (node.matches?.("[data-filters] [name]")) readFilter(node);
      else node.querySelectorAll?.("[data-filters] [name]").forEach(readFilter);
    }
  }).observe(document, { childList: true, subtree: true });

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("[data-filters]");
    if (!form) return;
    clearTimeout(typing);
    if (event.target.tagName === "SELECT") writeFilters(form, false);
    else typing = setTimeout(() => form.isConnected && writeFilters(form, true), TYPING_PAUSE);
  });

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.matches("[data-filters]")) {
        event.preventDefault();
        clearTimeout(typing);
        writeFilters(form, true);
      } else if (form.matches("[data-find]")) {
        event.preventDefault();
        const search = form.elements.search.value.trim();
        navigate(form.dataset.find + (search && `?search=${encodeURIComponent(search)}`));
        form.closest("[popover]")?.hidePopover();
        form.reset();
      }
    },
    true,
  );

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const search = [...document.querySelectorAll("[data-search]")].find((each) => each.checkVisibility());
    if (search) {
      event.preventDefault();
      search.select();
    }
  });

  Object.assign(window.tallybook, {
    // Called after every navigation.
    arrived: (navigateByRouter) => {
      navigate = navigateByRouter;
      document.querySelectorAll("[data-filters] [name]").forEach(readFilter);
      window.tallybook.showUpload();
    },
    navigate: (address) => navigate(address),
    replaceAddress: (address) => history.replaceState(history.state, "", address),
  });
})();
