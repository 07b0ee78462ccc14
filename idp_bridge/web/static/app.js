// What makes pages more pleasant; every one of them works without it.
(() => {
  const on = (type, selector, act) =>
    document.addEventListener(type, (event) => {
      const found = event.target.closest?.(selector);
      if (found) act(found, event);
    });

  const say = (text) => {
    document.getElementById("status").textContent = text;
  };

  // Copy buttons are hidden where there is no script; so is the choice of a theme.
  const reveal = (root) => root.querySelectorAll("[data-scripted]").forEach((part) => (part.hidden = false));
  reveal(document);
  document.addEventListener("htmx:after:swap", () => reveal(document));

  on("click", "[data-copy]", async (button) => {
    const input = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(input.value);
      const label = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 1600);
      say("Copied");
    } catch {
      // No clipboard on a plain http origin: leave the text selected for Ctrl+C.
      input.focus();
      input.select();
      say("Press Ctrl+C to copy");
    }
  });
  on("focusin", "input[readonly]", (input) => input.select());

  const theme = document.getElementById("theme");
  if (theme) {
    theme.value = localStorage.getItem("theme") ?? "system";
    theme.addEventListener("change", () => {
      if (theme.value === "system") {
        localStorage.removeItem("theme");
        delete document.documentElement.dataset.theme;
      } else {
        localStorage.setItem("theme", theme.value);
        document.documentElement.dataset.theme = theme.value;
      }
    });
  }

  // A form that came back: lead the reader to what is wrong.
  document.getElementById("problem")?.focus();

  // All rows that are shown are ticked at once, or none.
  on("change", "[data-tick-all]", (box) => {
    const rows = document.querySelectorAll(`input[name="id"][form="${box.dataset.tickAll}"]`);
    for (const row of rows) row.checked = box.checked;
  });

  // How far it is, for who does not see the bar.
  document.addEventListener("htmx:after:swap", () => {
    const said = [...document.querySelectorAll("[data-say]")].pop();
    if (said) say(said.textContent);
  });

  // An answer to a post stands under the page's own address, so that a reload asks for the page and posts nothing.
  const page = document.body.dataset.page;
  if (page) history.replaceState(null, "", page);

  // The page that carries a SAML request on to the provider.
  document.querySelector("form[data-submit]")?.submit();

  // One open menu at a time, closed by Escape.
  on("keydown", "details.dropdown[open]", (menu, event) => {
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
