// Uploads files of usage and of corrections to the API, one at a time, even while the user visits other pages. Uses XMLHttpRequest, because
// fetch doesn't report upload progress.
(() => {
  "use strict";

  let upload; // { request, name, share }

  const findForm = () => document.querySelector("[data-upload]");

  const showUpload = () => {
    const form = findForm();
    if (!form) return;
    form.toggleAttribute("data-sending", Boolean(upload));
    if (!upload) return;
    form.querySelector("[role=alert]").textContent = "";
    form.querySelector("[data-upload-name]").textContent = `Uploading ${upload.name}`;
    form.querySelector("[data-upload-share]").textContent = `${upload.share}%`;
    form.querySelector("[data-upload-progress]").value = upload.share;
  };

  const showProblem = (text) => {
    const alert = findForm()?.querySelector("[role=alert]");
    if (alert) alert.textContent = text;
  };

  const onAnswer = (request, then) => {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // A proxy's response, which is not meant for users.
    }
    if (request.status === 202) {
      if (findForm()) window.tallybook.navigate(then + answer.id);
    } else if (request.status === 401) {
      window.tallybook.goToSignIn(answer.detail);
    } else {
      showProblem(answer.detail ?? "The upload failed. Try again.");
    }
  };

  const sendFile = (form, file) => {
    if (upload || !file) return;
    if (file.size > Number(form.dataset.bytesMax)) {
      showProblem("The file is larger than 1 GiB. Compress it with gzip or split it.");
      return;
    }
    const { upload: address, kind, then } = form.dataset;
    const request = new XMLHttpRequest();
    upload = { request, name: file.name, share: 0 };
    request.upload.onprogress = (event) => {
      upload.share = Math.floor((100 * event.loaded) / event.total);
      showUpload();
    };
    request.onload = () => onAnswer(request, then);
    request.onerror = () => showProblem("The upload was interrupted and nothing was kept. Try again.");
    request.onloadend = () => {
      upload = undefined;
      showUpload();
    };
    const query = new URLSearchParams({ kind, file_name: file.name.slice(-255) });
    request.open("POST", `${address}?${query}`);
    request.setRequestHeader("Content-Type", /\.gz$/i.test(file.name) ? "application/gzip" : "text/csv");
    request.send(file);
    showUpload();
  };

  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-file]")) return;
    sendFile(event.target.form, event.target.files[0]);
    // Otherwise, selecting the same file again would not trigger a change event.
    event.target.value = "";
  });

  const dragsFiles = (event) => findForm() && event.dataTransfer?.types.includes("Files");

  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      if (!dragsFiles(event)) return;
      event.preventDefault();
      findForm().toggleAttribute("data-over", type === "dragover");
      if (type === "drop") sendFile(findForm(), event.dataTransfer.files[0]);
    });
  }

  addEventListener("beforeunload", (event) => {
    if (upload) event.preventDefault();
  });

  window.tallybook.actions["cancel-upload"] = () => upload?.request.abort();
  window.tallybook.showUpload = showUpload;
})();
