// Forms that are sent over the websocket, in dialogs or on pages. Typed text exists only in the browser, so it must
// survive a lost connection and a restart of the server, which forgets every open form.
(() => {
  "use strict";

  const FORM = "form_rx_state_"; // a state's form, as state/kit/forms.py defines it
  const ROOT = "reflex___state____state"; // Reflex's own state
  const SLOW = 10_000;
  const STILL_WAITING = "The server hasn't answered yet. What you entered is kept.";
  const UNREACHABLE = "The server can't be reached. This will be sent when it is back.";
  const UNANSWERED =
    "The connection was lost before the server answered. This may or may not have been saved. " +
    "It will be sent again when the server is back, and takes effect only once.";

  const opened = new Map(); // by the name of its state: the form as it was last opened

  const find = (form) => document.querySelector(`[data-form][data-opened="${CSS.escape(form.opened)}"]`);
  const all = () => [...document.querySelectorAll("[data-form]")];
  const submitButton = (form) => form.querySelector("[type=submit]");
  const isBusy = (form) => submitButton(form)?.getAttribute("aria-busy") === "true";
  const isEdited = (form) => form.dataset.edited === form.dataset.opened;
  const isUnanswered = (form) => "unanswered" in form.dataset;

  const say = (form, text) => {
    const status = form.querySelector("[data-form-status]");
    if (status) status.textContent = text;
  };

  const setBusy = (form) => {
    const button = submitButton(form);
    button.setAttribute("aria-busy", "true");
    const attempt = {};
    form.attempt = attempt;
    setTimeout(() => form.attempt === attempt && isBusy(form) && say(form, STILL_WAITING), SLOW);
  };

  const endBusy = (form) => {
    submitButton(form)?.removeAttribute("aria-busy");
    delete form.dataset.unanswered;
    say(form, "");
  };

  const leaveUnanswered = (form, text) => {
    submitButton(form).removeAttribute("aria-busy");
    form.dataset.unanswered = "";
    say(form, text);
  };

  const onSubmit = (event, form) => {
    if (isBusy(form) || !window.tallybook.isConnected()) {
      // React isn't notified of this change.
      event.preventDefault();
      event.stopPropagation();
    }
    if (isBusy(form)) return;
    if (window.tallybook.isConnected()) {
      delete form.dataset.unanswered;
      say(form, "");
      setBusy(form);
    } else {
      leaveUnanswered(form, isUnanswered(form) ? UNANSWERED : UNREACHABLE);
    }
  };

  document.addEventListener(
    "submit",
    (event) => event.target.matches("[data-form]") && onSubmit(event, event.target),
    true,
  );

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("[data-form]");
    if (form) form.dataset.edited = form.dataset.opened;
  });

  addEventListener("beforeunload", (event) => {
    if (all().some((form) => form.checkVisibility() && (isEdited(form) || isUnanswered(form)))) {
      event.preventDefault();
    }
  });

  const isBeingFilledIn = (element) => {
    const dialog = element.closest("dialog");
    return dialog ? dialog.open : isEdited(element) || isUnanswered(element);
  };

  // Returns what to do with a state's form in an update: "draw" it, "keep" the form that is being filled in, or
  // ignore "everything" in the update, because the server was restarted and no longer has the form.
  const judge = (state, incoming) => {
    const known = opened.get(state);
    const element = known?.opened && incoming.opened !== known.opened ? find(known) : null;
    if (!element || !isBeingFilledIn(element)) return "draw";
    if (!incoming.opened) return "everything";
    return element.closest("dialog") ? "draw" : "keep";
  };

  // Called with the changes of all states, by name, before they are rendered. Returns those to render.
  const keepForms = (changes) => {
    const kept = {};
    for (const [state, change] of Object.entries(changes ?? {})) {
      const incoming = change[FORM];
      const verdict = incoming ? judge(state, incoming) : "draw";
      // The content around the form is kept too. The page is reloaded in a moment.
      if (verdict === "everything") return ROOT in changes ? { [ROOT]: changes[ROOT] } : {};
      if (incoming && verdict === "draw") opened.set(state, incoming);
      kept[state] = verdict === "keep" ? { ...change, [FORM]: opened.get(state) } : change;
    }
    return kept;
  };

  Object.assign(window.tallybook, {
    keepForms,
    isFormInUse: (form) => isEdited(form) || isBusy(form) || isUnanswered(form),
    isFormUnanswered: (form) => isBusy(form) || isUnanswered(form),
    keepUnansweredForms: () => all().filter(isBusy).forEach((form) => leaveUnanswered(form, UNANSWERED)),
    resendForms: () => all().filter(isUnanswered).forEach((form) => form.requestSubmit()),
    formAnswered: () => {
      all().forEach(endBusy);
      const wrong = "[data-form] [aria-invalid=true], [data-form] [role=alert] a";
      window.tallybook.whenDrawn(() => (document.querySelector("dialog[open]") ?? document).querySelector(wrong)?.focus());
    },
    formSaved: () => all().forEach((form) => isBusy(form) && delete form.dataset.edited),
  });
})();
