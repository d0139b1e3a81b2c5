// What a reader does on the page, and what is then to be seen: test_page.py reads it.
const rowsOf = () => [...document.querySelectorAll("#main section tbody tr")]
  .filter((row) => row.querySelector("input"));
const cells = (n) => rowsOf().map((row) => row.cells[n].textContent);
const labelled = (text) => [...document.querySelectorAll("label")]
  .find((label) => label.textContent.startsWith(text));
const texts = (selector) => [...document.querySelectorAll(selector)].map((it) => it.textContent);
const said = {};
window.onerror = (message) => { said.error = message; };
addEventListener("load", () => {
  said.first = cells(1);
  [...document.querySelectorAll("th button")].find((it) => it.textContent.startsWith("mIoU")).click();
  said.ascending = cells(3);
  labelled("mean over seeds").querySelector("input").click();
  said.each = cells(1).length;
  const filter = document.querySelector("input[type=search]");
  filter.value = "windows mIoU>45";
  filter.oninput();
  said.filtered = cells(1);
  filter.value = "";
  filter.oninput();
  const select = labelled("baseline").querySelector("select");
  const baseline = () => document.querySelector("tr.baseline").cells[1].textContent;
  said.before = baseline();
  select.value = "2";
  select.onchange();
  said.after = baseline();
  said.differences = texts("td .better, td .worse");
  document.getElementById("theme").click();
  said.theme = document.documentElement.dataset.theme;
  said.sections = texts("h2");
  said.images = document.querySelectorAll("figure img").length;
  setTimeout(() => {
    const drawn = [...document.querySelectorAll(".plot")].filter((it) => it.querySelector("svg.main-svg"));
    said.plots = drawn.map((it) => it.id);
    const told = Object.assign(document.createElement("pre"), { textContent: JSON.stringify(said) });
    document.body.replaceChildren(told);
  }, 1500);
});
