// Signing in and out, and changing the password. These use fetch, because only an HTTP response can set the cookie,
// and so that they work without a websocket. This script runs before all others.
(() => {
  "use strict";

  const CLIENT_TOKEN = "token"; // where Reflex keeps the token of this tab's state
  const EPOCH = "tallybook_epoch"; // changes with every sign-in
  const REASON = "tallybook_reason"; // why the user was sent to the sign-in page
  const SIGN_IN = "/login";
  const PASSWORD = "/password";

  const readCookie = (name) =>
    document.cookie
      .split("; ")
      .find((each) => each.startsWith(`${name}=`))
      ?.slice(name.length + 1) ?? "";

  const dropClientToken = () => sessionStorage.removeItem(CLIENT_TOKEN);

  // The server rejects a token that was used by another session. So every sign-in, in this tab or another one,
  // starts with a new token.
  const epoch = readCookie(EPOCH);
  if (sessionStorage.getItem(EPOCH) !== epoch) {
    dropClientToken();
    sessionStorage.setItem(EPOCH, epoch);
  }

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    document.cookie = `tallybook_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  // Forms parse numbers in this browser's notation, but always with ASCII digits.
  const parts = new Intl.NumberFormat(navigator.language, { numberingSystem: "latn" }).formatToParts(1234567.5);
  const marks = ["decimal", "group"].map((type) => parts.find((part) => part.type === type)?.value ?? "");
  document.cookie = `tallybook_numbers=${encodeURIComponent(marks.join(""))}; path=/; max-age=31536000; samesite=lax`;

  // Redirects only to our own pages, whatever the query parameter says.
  const toLocalPath = (path) => {
    try {
      const target = new URL(path ?? "/", location.origin);
      const isLocal = target.origin === location.origin && ![SIGN_IN, PASSWORD].includes(target.pathname);
      return isLocal ? target.pathname + target.search : "/";
    } catch {
      return "/";
    }
  };
  const requestedPath = () => toLocalPath(new URLSearchParams(location.search).get("next"));

  const withWayBack = (page) => {
    const next = toLocalPath(location.pathname + location.search);
    return next === "/" ? page : `${page}?next=${encodeURIComponent(next)}`;
  };

  const inMinutes = (seconds) => {
    const minutes = Math.max(1, Math.ceil(Number(seconds) / 60));
    return minutes === 1 ? "a minute" : `${minutes} minutes`;
  };

  const tooManyAttempts = (response) =>
    `Too many failed attempts. Try again in ${inMinutes(response.headers.get("Retry-After"))}.`;

  const describeSignInRefusal = async (response) => {
    if (response.status === 401) return "The email or password is incorrect.";
    if (response.status === 429) return tooManyAttempts(response);
    const problem = await response.json().catch(() => ({}));
    return problem.detail ?? "Signing in failed. Try again.";
  };

  const describePasswordRefusal = async (response) => {
    if (response.status === 429) return tooManyAttempts(response);
    const problem = await response.json().catch(() => ({}));
    if (problem.code === "wrong_password") return "That isn't your current password.";
    const rule = problem.errors?.[0]?.message;
    return rule ? `The new password ${rule}.` : (problem.detail ?? "The password could not be changed. Try again.");
  };

  // Sends values as JSON and shows errors in the form. Returns whether the values were accepted.
  const send = async (form, address, values, describeRefusal) => {
    const alert = form.querySelector("[role=alert]");
    const button = form.querySelector("[type=submit]");
    if (button.getAttribute("aria-busy") === "true") return false;
    alert.textContent = "";
    button.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(values),
      });
      if (response.ok) return true;
      alert.textContent = await describeRefusal(response);
    } catch {
      alert.textContent = "The server can't be reached. Check your connection and try again.";
    }
    button.removeAttribute("aria-busy");
    return false;
  };

  const signIn = async (form) => {
    const values = { email: form.email.value.trim(), password: form.password.value };
    if (await send(form, "/api/v1/auth/session", values, describeSignInRefusal)) {
      dropClientToken();
      sessionStorage.removeItem(REASON);
      location.assign(requestedPath());
    } else {
      form.password.select();
    }
  };

  const changePassword = async (form) => {
    const values = { current: form.current.value, new: form.new.value };
    if (await send(form, "/api/v1/auth/password", values, describePasswordRefusal)) {
      location.assign(requestedPath());
    }
  };

  const signOut = async () => {
    try {
      await fetch("/api/v1/auth/session", { method: "DELETE" });
    } catch {
      window.tallybook.showUnreachable();
      return;
    }
    dropClientToken();
    location.assign(SIGN_IN);
  };

  const submits = { "sign-in": signIn, "change-password": changePassword };

  document.addEventListener("submit", (event) => {
    const submit = submits[event.target.id];
    if (!submit) return;
    event.preventDefault();
    submit(event.target);
  });

  window.tallybook = {
    // The handlers of buttons with a data-action. Each script adds its own.
    actions: {
      "sign-out": signOut,
      "sign-in-as": (button) => {
        const form = document.getElementById("sign-in");
        form.email.value = button.dataset.email;
        form.password.value = button.dataset.password;
        signIn(form);
      },
    },
    goToSignIn: (reason) => {
      if (location.pathname === SIGN_IN) return;
      dropClientToken();
      if (reason) sessionStorage.setItem(REASON, reason);
      location.assign(withWayBack(SIGN_IN));
    },
    goToPassword: () => location.pathname === PASSWORD || location.assign(withWayBack(PASSWORD)),
    goToRequestedPage: () => location.assign(requestedPath()),
    showReason: () => {
      const shown = document.getElementById("sign-in-reason");
      if (shown) shown.textContent = sessionStorage.getItem(REASON) ?? "";
      sessionStorage.removeItem(REASON);
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-action]");
    if (button) window.tallybook.actions[button.dataset.action]?.(button);
  });
})();
