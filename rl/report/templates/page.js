// The group browser: one group at a time. Without this script the groups stand below each other.
for (const browser of document.querySelectorAll(".browser")) {
  const groups = [...browser.querySelectorAll(".group")];
  const steer = browser.querySelector(".steer");
  if (!steer) continue;
  const select = steer.querySelector("select");
  const mixed = steer.querySelector("input");
  const output = steer.querySelector("output");
  const options = [...select.options];

  const shown = () => groups.map((group, index) => index)
    .filter((index) => !mixed.checked || groups[index].dataset.mixed === "yes");

  const show = (index) => {
    const among = shown();
    groups.forEach((group, at) => { group.hidden = at !== index; group.open = true; });
    select.value = String(index);
    output.textContent = among.length ? `${among.indexOf(index) + 1} of ${among.length}` : "none";
  };

  const move = (by) => {
    const among = shown();
    if (!among.length) return;
    const place = among.indexOf(Number(select.value)) + by;
    show(among[(place + among.length) % among.length]);
  };

  select.addEventListener("change", () => show(Number(select.value)));
  steer.querySelector(".back").addEventListener("click", () => move(-1));
  steer.querySelector(".on").addEventListener("click", () => move(1));
  mixed.addEventListener("change", () => {
    const among = shown();
    options.forEach((option, index) => {
      option.hidden = option.disabled = !among.includes(index);
    });
    const now = Number(select.value);
    show(among.includes(now) || !among.length ? now : among[0]);
    if (!among.length) groups.forEach((group) => { group.hidden = true; });
  });
  steer.hidden = false;
  show(0);
}
