// What the pages do without their websocket: signing in and out must work when it is down, and
// a client token must be dropped before the first connection is made. Runs before everything else.
(() => {
  "use strict";

  const TOKEN = "token"; // where Reflex keeps the client token
  const EPOCH = "tallybook_epoch"; // changes with every sign-in
  const REASON = "tallybook_reason"; // why somebody was sent to sign in
  const SIGN_IN = "/login";
  const PASSWORD = "/password";

  const cookie = (name) =>
    document.cookie
      .split("; ")
      .find((each) => each.startsWith(`${name}=`))
      ?.slice(name.length + 1) ?? "";

  const dropToken = () => sessionStorage.removeItem(TOKEN);

  // The server refuses a token that another session used first, so a new sign-in, in this tab or
  // in another one, starts a fresh one.
  const epoch = cookie(EPOCH);
  if (sessionStorage.getItem(EPOCH) !== epoch) {
    dropToken();
    sessionStorage.setItem(EPOCH, epoch);
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    document.cookie = `tallybook_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  // Forms read numbers as this browser writes them. Digits stay ASCII.
  const parts = new Intl.NumberFormat(navigator.language, { numberingSystem: "latn" }).formatToParts(1234567.5);
  const marks = ["decimal", "group"].map((type) => parts.find((part) => part.type === type)?.value ?? "");
  document.cookie = `tallybook_numbers=${encodeURIComponent(marks.join(""))}; path=/; max-age=31536000; samesite=lax`;

  const localPath = (path) => {
    try {
      const target = new URL(path ?? "/", location.origin);
      const local = target.origin === location.origin && ![SIGN_IN, PASSWORD].includes(target.pathname);
      return local ? target.pathname + target.search : "/";
    } catch {
      return "/";
    }
  };
  const askedFor = () => localPath(new URLSearchParams(location.search).get("next"));

  const leadingBack = (page) => {
    const next = localPath(location.pathname + location.search);
    return next === "/" ? page : `${page}?next=${encodeURIComponent(next)}`;
  };

  const minutes = (seconds) => {
    const rounded = Math.max(1, Math.ceil(Number(seconds) / 60));
    return rounded === 1 ? "a minute" : `${rounded} minutes`;
  };

  const tooMany = (response) =>
    `Too many attempts. Try again in ${minutes(response.headers.get("Retry-After"))}.`;

  const signInRefusal = async (response) => {
    if (response.status === 401) return "That email and password don't match.";
    if (response.status === 429) return tooMany(response);
    const problem = await response.json().catch(() => ({}));
    return problem.detail ?? "Signing in failed. Try again.";
  };

  const passwordRefusal = async (response) => {
    if (response.status === 429) return tooMany(response);
    const problem = await response.json().catch(() => ({}));
    if (problem.code === "wrong_password") return "That is not your present password.";
    const rule = problem.errors?.[0]?.message;
    return rule ? `The new password ${rule}.` : (problem.detail ?? "That failed. Try again.");
  };

  // Sends a form's values as JSON; says under the form why it was refused. Answers whether it was taken.
  const send = async (form, address, values, refusal) => {
    const says = form.querySelector("[role=alert]");
    const button = form.querySelector("[type=submit]");
    if (button.getAttribute("aria-busy") === "true") return false;
    says.textContent = "";
    button.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(values),
      });
      if (response.ok) return true;
      says.textContent = await refusal(response);
    } catch {
      says.textContent = "The server can't be reached. Check the connection and try again.";
    }
    button.removeAttribute("aria-busy");
    return false;
  };

  const signIn = async (form) => {
    const values = { email: form.email.value.trim(), password: form.password.value };
    if (await send(form, "/api/v1/auth/session", values, signInRefusal)) {
      dropToken();
      sessionStorage.removeItem(REASON);
      location.assign(askedFor());
    } else {
      form.password.select();
    }
  };

  const changePassword = async (form) => {
    const values = { current: form.current.value, new: form.new.value };
    if (await send(form, "/api/v1/auth/password", values, passwordRefusal)) location.assign(askedFor());
  };

  const forms = { "sign-in": signIn, "change-password": changePassword };

  const signOut = async () => {
    try {
      await fetch("/api/v1/auth/session", { method: "DELETE" });
    } catch {
      document.dispatchEvent(new CustomEvent("tallybook:offline"));
      return;
    }
    dropToken();
    location.assign(SIGN_IN);
  };

  // Dialogs. A state has just changed what is in one: it is opened, and looked at, once React has drawn it.
  const whenDrawn = (work) => requestAnimationFrame(() => requestAnimationFrame(work));
  const openDialog = () => document.querySelector("dialog[open]");

  const showDialog = (name) => {
    const dialog = document.getElementById(name);
    if (!dialog || dialog.open) return;
    dialog.showModal();
    const first = "input:not([type=hidden]), select, textarea, [data-action=copy]";
    (dialog.querySelector(first) ?? dialog.querySelector("[data-cancel]")).focus();
  };

  const FOCUS_KEPT = 2000;

  const closeDialog = () => {
    openDialog()?.close();
    whenDrawn(() => {
      // What opened it may be gone with the row that it was on, or go as soon as the page is read again.
      const opener = document.activeElement;
      const keepFocus = () => {
        if (document.activeElement === document.body) document.getElementById("content")?.focus();
        return opener !== document.body && opener.isConnected;
      };
      if (!keepFocus()) return;
      const goes = new MutationObserver(() => keepFocus() || goes.disconnect());
      goes.observe(document.body, { childList: true, subtree: true });
      setTimeout(() => goes.disconnect(), FOCUS_KEPT);
    });
  };

  const answered = () => {
    document.querySelectorAll("[data-form] [aria-busy=true]").forEach((each) => each.removeAttribute("aria-busy"));
    const wrong = "[data-form] [aria-invalid=true], [data-form] [role=alert] a";
    whenDrawn(() => (openDialog() ?? document).querySelector(wrong)?.focus());
  };

  // What is shown once is in no state of the server's: it is written here, and gone with the dialog.
  const showSecret = (name, secret) => {
    const shown = document.querySelector(`#${CSS.escape(name)} [data-secret]`);
    if (!shown) return;
    shown.textContent = secret;
    whenDrawn(() => showDialog(name));
  };

  const copySecret = async (shown) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(shown.textContent);
    // Without https there is none.
    getSelection().selectAllChildren(shown);
    document.execCommand("copy");
  };

  // Menus: beside their button, within the screen.
  const place = (menu) => {
    const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`).getBoundingClientRect();
    const below = button.bottom + 4;
    const fits = below + menu.offsetHeight <= innerHeight;
    menu.style.top = `${fits ? below : Math.max(4, button.top - 4 - menu.offsetHeight)}px`;
    menu.style.left = `${Math.max(4, button.right - menu.offsetWidth)}px`;
  };

  const menuItems = (menu) => [...menu.querySelectorAll("[role=menuitem]")];

  const moveInMenu = (menu, key) => {
    const items = menuItems(menu);
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[key];
    items.at(to % items.length)?.focus();
  };

  // Filters: their values live in the address, and nowhere else.
  const TYPING_PAUSE = 180;
  let go = (address, options) => location.assign(address); // React Router's, as soon as it is there
  let typing;

  const follow = (form, replace) => {
    const values = new URLSearchParams(location.search);
    values.delete("page");
    for (const field of form.elements) {
      if (!field.name) continue;
      if (field.value.trim()) values.set(field.name, field.value.trim());
      else values.delete(field.name);
    }
    const query = values.toString();
    go(location.pathname + (query && `?${query}`), { replace, preventScrollReset: true });
  };

  const fill = (field) => {
    const value = new URLSearchParams(location.search).get(field.name) ?? "";
    if (field.value.trim() === value || field === document.activeElement && field.type === "search") return;
    field.value = value;
    // The options of this one are still to come.
    if (field.tagName === "SELECT" && field.value !== value) {
      field.value = "";
      const options = new MutationObserver(() => {
        options.disconnect();
        fill(field);
      });
      options.observe(field, { childList: true });
    }
  };

  const fillFilters = () =>
    document.querySelectorAll("[data-filters] [name]").forEach((field) => fill(field));

  // Uploads: one file at a time. It continues while the user visits other pages, and every drop zone
  // shows its progress. XMLHttpRequest, because fetch does not report the progress of an upload.
  let sending; // { request, name, share }
  const uploadForm = () => document.querySelector("[data-upload]");

  const showSending = () => {
    const form = uploadForm();
    if (!form) return;
    form.toggleAttribute("data-sending", Boolean(sending));
    if (!sending) return;
    form.querySelector("[role=alert]").textContent = "";
    form.querySelector("[data-upload-name]").textContent = `Uploading ${sending.name}`;
    form.querySelector("[data-upload-share]").textContent = `${sending.share}%`;
    form.querySelector("[data-upload-progress]").value = sending.share;
  };

  const sayOfFile = (text) => {
    const says = uploadForm()?.querySelector("[role=alert]");
    if (says) says.textContent = text;
  };

  const fileSent = (request, then) => {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // A proxy may answer with something else than JSON.
    }
    if (request.status === 202) {
      if (uploadForm()) go(then + answer.id);
    } else if (request.status === 401) {
      window.tallybook.toSignIn(answer.detail);
    } else {
      sayOfFile(answer.detail ?? "The upload failed. Try again.");
    }
  };

  const sendFile = (form, file) => {
    if (sending || !file) return;
    if (file.size > Number(form.dataset.bytesMax)) {
      sayOfFile("The file is larger than 1 GiB. Compress it with gzip or split it.");
      return;
    }
    const { upload: address, then } = form.dataset;
    const request = new XMLHttpRequest();
    sending = { request, name: file.name, share: 0 };
    request.upload.onprogress = (event) => {
      sending.share = Math.floor((100 * event.loaded) / event.total);
      showSending();
    };
    request.onload = () => fileSent(request, then);
    request.onerror = () => sayOfFile("The upload was interrupted and nothing was kept. Try again.");
    request.onloadend = () => {
      sending = undefined;
      showSending();
    };
    request.open("POST", `${address}?file_name=${encodeURIComponent(file.name.slice(-255))}`);
    request.setRequestHeader("Content-Type", /\.gz$/i.test(file.name) ? "application/gzip" : "text/csv");
    request.send(file);
    showSending();
  };

  const dragsFiles = (event) => uploadForm() && event.dataTransfer?.types.includes("Files");

  const actions = {
    "cancel-upload": () => sending?.request.abort(),
    "sign-out": signOut,
    "close-dialog": closeDialog,
    // Dialogs that need nothing of the server.
    "open-dialog": (button) => showDialog(button.dataset.dialog),
    turn: (button) => {
      const turned = button.closest("[data-frame]").toggleAttribute("data-turned");
      button.setAttribute("aria-pressed", String(turned));
    },
    print: () => window.print(),
    reload: () => location.reload(),
    copy: async (button) => {
      const frame = button.closest("[data-copyable], dialog");
      await copySecret(frame.querySelector("[data-copied], [data-secret]"));
      button.dataset.done = "true";
      setTimeout(() => delete button.dataset.done, 1500);
    },
    "sign-in-as": (button) => {
      const form = document.getElementById("sign-in");
      form.email.value = button.dataset.email;
      form.password.value = button.dataset.password;
      signIn(form);
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-action]");
    if (button) actions[button.dataset.action]?.(button);
    if (event.target.closest?.("[role=menuitem]")) event.target.closest("[popover]").hidePopover();
  });

  document.addEventListener(
    "toggle",
    (event) => {
      if (event.newState !== "open" || !event.target.matches?.("[data-menu]")) return;
      place(event.target);
      menuItems(event.target)[0]?.focus({ preventScroll: true });
    },
    true,
  );
  for (const moved of ["scroll", "resize"]) {
    addEventListener(moved, () => document.querySelectorAll("[data-menu]:popover-open").forEach(place), true);
  }

  document.addEventListener(
    "close",
    (event) => event.target.querySelectorAll?.("[data-secret]").forEach((each) => (each.textContent = "")),
    true,
  );
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-file]")) return;
    sendFile(event.target.form, event.target.files[0]);
    // Without this, choosing the same file again would not be a change.
    event.target.value = "";
  });

  for (const dragged of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(dragged, (event) => {
      if (!dragsFiles(event)) return;
      event.preventDefault();
      uploadForm().toggleAttribute("data-over", dragged === "dragover");
      if (dragged === "drop") sendFile(uploadForm(), event.dataTransfer.files[0]);
    });
  }

  addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("[data-filters]");
    if (!form) return;
    clearTimeout(typing);
    if (event.target.tagName === "SELECT") follow(form, false);
    else typing = setTimeout(() => form.isConnected && follow(form, true), TYPING_PAUSE);
  });

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.matches("[data-filters]")) {
        event.preventDefault();
        clearTimeout(typing);
        follow(form, true);
        return;
      }
      if (form.matches("[data-find]")) {
        event.preventDefault();
        const search = form.elements.search.value.trim();
        go(form.dataset.find + (search && `?search=${encodeURIComponent(search)}`));
        form.closest("[popover]")?.hidePopover();
        form.reset();
        return;
      }
      if (form.matches("[data-form]")) {
        const button = form.querySelector("[type=submit]");
        // Sent already: React never hears of it a second time.
        if (button.getAttribute("aria-busy") === "true") {
          event.preventDefault();
          event.stopPropagation();
        }
        button.setAttribute("aria-busy", "true");
        return;
      }
      const submit = forms[event.target.id];
      if (!submit) return;
      event.preventDefault();
      submit(event.target);
    },
    true,
  );

  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("[data-menu]");
    if (menu && ["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      moveInMenu(menu, event.key);
      return;
    }
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (openDialog()) return;
    const search = [...document.querySelectorAll("[data-search]")].find((each) => each.checkVisibility());
    if (search) {
      event.preventDefault();
      search.select();
    }
  });

  // A chart asks for each tick, each time that it is drawn; making a format takes longer than using it.
  const shortly = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 2 });

  window.tallybook = {
    short: (number) => shortly.format(number),
    toSignIn: (reason) => {
      if (location.pathname === SIGN_IN) return;
      dropToken();
      if (reason) sessionStorage.setItem(REASON, reason);
      location.assign(leadingBack(SIGN_IN));
    },
    toPassword: () => location.pathname === PASSWORD || location.assign(leadingBack(PASSWORD)),
    goOn: () => location.assign(askedFor()),
    showReason: () => {
      const says = document.getElementById("sign-in-reason");
      if (says) says.textContent = sessionStorage.getItem(REASON) ?? "";
      sessionStorage.removeItem(REASON);
    },
    // The router is at another address, by whatever way; `navigate` leads to others from here.
    arrived: (navigate) => {
      go = navigate;
      fillFilters();
      showSending();
    },
    openDialog: (name) => whenDrawn(() => showDialog(name)),
    showSecret,
    closeDialog: () => {
      answered();
      closeDialog();
    },
    answered,
    replaceAddress: (address) => history.replaceState(history.state, "", address),
  };
})();
