// Dialogs, menus and secrets. Native elements, which are opened after React has rendered their content.
(() => {
  "use strict";

  const FOCUS_KEPT = 2000;

  const whenDrawn = (work) => requestAnimationFrame(() => requestAnimationFrame(work));
  const findOpenDialog = () => document.querySelector("dialog[open]");

  const showDialog = (name) => {
    const dialog = document.getElementById(name);
    if (!dialog || dialog.open) return;
    dialog.querySelectorAll("[data-form]").forEach((form) => {
      delete form.dataset.edited;
      delete form.dataset.unanswered;
    });
    dialog.showModal();
    const first = "input:not([type=hidden]), select, textarea, [data-action=copy]";
    (dialog.querySelector(first) ?? dialog.querySelector("[data-cancel]")).focus();
  };

  const closeDialog = () => {
    const dialog = findOpenDialog();
    dialog?.removeAttribute("data-leaving");
    dialog?.close();
    whenDrawn(() => {
      // The opener may have been removed with its row, or will be when the page is reloaded.
      const opener = document.activeElement;
      const keepFocus = () => {
        if (document.activeElement === document.body) document.getElementById("content")?.focus();
        return opener !== document.body && opener.isConnected;
      };
      if (!keepFocus()) return;
      const observer = new MutationObserver(() => keepFocus() || observer.disconnect());
      observer.observe(document.body, { childList: true, subtree: true });
      setTimeout(() => observer.disconnect(), FOCUS_KEPT);
    });
  };

  // Asks for confirmation before typed text is discarded. The question replaces the buttons.
  const askToLeave = (dialog, form) => {
    dialog.setAttribute("data-leaving", "");
    dialog.querySelector("[data-question]").textContent = window.tallybook.isFormUnanswered(form)
      ? "This may already be saved. Discard what you entered?"
      : "Discard what you entered?";
    dialog.querySelector("[data-action=keep-editing]").focus();
  };

  const keepEditing = (dialog) => {
    dialog.removeAttribute("data-leaving");
    dialog.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  };

  // Returns whether the dialog can be closed without confirmation.
  const mayClose = (dialog) => {
    const form = dialog.querySelector("[data-form]");
    if (!form || !window.tallybook.isFormInUse(form)) return true;
    if (dialog.hasAttribute("data-leaving")) keepEditing(dialog);
    else askToLeave(dialog, form);
    return false;
  };

  // Escape, or the back gesture of some devices.
  document.addEventListener("keydown", (event) => {
    const dialog = event.key === "Escape" && findOpenDialog();
    if (dialog && !mayClose(dialog)) event.preventDefault();
  });
  document.addEventListener(
    "cancel",
    (event) => event.target.matches?.("dialog[open]") && !mayClose(event.target) && event.preventDefault(),
    true,
  );

  // Secrets are never stored in a state. They are inserted here and removed when the dialog closes.
  const showSecret = (name, secret) => {
    const shown = document.querySelector(`#${CSS.escape(name)} [data-secret]`);
    if (!shown) return;
    shown.textContent = secret;
    whenDrawn(() => showDialog(name));
  };

  document.addEventListener(
    "close",
    (event) => event.target.querySelectorAll?.("[data-secret]").forEach((each) => (each.textContent = "")),
    true,
  );

  const copyText = async (shown) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(shown.textContent);
    // The clipboard is only available over https.
    getSelection().selectAllChildren(shown);
    document.execCommand("copy");
  };

  // A menu is placed next to its button, within the screen.
  const placeMenu = (menu) => {
    const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`).getBoundingClientRect();
    const below = button.bottom + 4;
    const fits = below + menu.offsetHeight <= innerHeight;
    menu.style.top = `${fits ? below : Math.max(4, button.top - 4 - menu.offsetHeight)}px`;
    menu.style.left = `${Math.max(4, button.right - menu.offsetWidth)}px`;
  };

  const menuItems = (menu) => [...menu.querySelectorAll("[role=menuitem]")];

  const moveInMenu = (menu, key) => {
    const items = menuItems(menu);
    const current = items.indexOf(document.activeElement);
    const next = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: -1 }[key];
    items.at(next % items.length)?.focus();
  };

  document.addEventListener(
    "toggle",
    (event) => {
      if (event.newState !== "open" || !event.target.matches?.("[data-menu]")) return;
      placeMenu(event.target);
      menuItems(event.target)[0]?.focus({ preventScroll: true });
    },
    true,
  );
  for (const change of ["scroll", "resize"]) {
    addEventListener(change, () => document.querySelectorAll("[data-menu]:popover-open").forEach(placeMenu), true);
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[role=menuitem]")) event.target.closest("[popover]").hidePopover();
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("[data-menu]");
    if (!menu || !["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    moveInMenu(menu, event.key);
  });

  // Cached, because charts format every tick on each render, and creating a format is slow.
  const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });

  Object.assign(window.tallybook.actions, {
    "close-dialog": (button) => mayClose(button.closest("dialog")) && closeDialog(),
    // Cancel discards without a question, unless the form may already have been saved.
    "cancel-dialog": (button) => {
      const dialog = button.closest("dialog");
      const form = dialog.querySelector("[data-form]");
      if (!window.tallybook.isFormUnanswered(form) || mayClose(dialog)) closeDialog();
    },
    discard: closeDialog,
    "keep-editing": (button) => keepEditing(button.closest("dialog")),
    // For dialogs that don't need the server.
    "open-dialog": (button) => showDialog(button.dataset.dialog),
    turn: (button) => {
      const isTurned = button.closest("[data-frame]").toggleAttribute("data-turned");
      button.setAttribute("aria-pressed", String(isTurned));
    },
    print: () => window.print(),
    reload: () => location.reload(),
    copy: async (button) => {
      const frame = button.closest("[data-copyable], dialog");
      await copyText(frame.querySelector("[data-copied], [data-secret]"));
      button.dataset.done = "true";
      setTimeout(() => delete button.dataset.done, 1500);
    },
  });

  Object.assign(window.tallybook, {
    whenDrawn,
    openDialog: (name) => whenDrawn(() => showDialog(name)),
    showSecret,
    closeDialog: () => {
      window.tallybook.formSaved();
      window.tallybook.formAnswered();
      closeDialog();
    },
    formatCompactly: (number) => compact.format(number),
  });
})();
