/* What a report does in a browser: points of pictures, sorting, folding, contents, and the explorer. */
(() => {
  const all = (where, from = document) => [...from.querySelectorAll(where)], {explore, hover, make, on} = synfin;
  const data = from => JSON.parse(from.textContent);

  for (const source of all("figure > script")) {
    const points = data(source), box = source.parentElement.querySelector(".picture");
    hover(box, box.querySelector("svg"), () => points, source.dataset.by === "rows" ? 99 : .1);
  }

  // A text that begins with a number is sorted as one; what is not defined comes last.
  const key = cell => {
    const text = cell.firstChild?.textContent.trim() ?? "", plain = text.replace(/,/g, "").replace(/\u2212/g, "-");
    if (/^(\u2013|not defined.*|)$/.test(text)) return null;
    if (text === "none") return Infinity;
    return /^\d{4}-\d\d/.test(text) || !/^[-+]?[\d.]/.test(plain) ? text : parseFloat(plain);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  for (const table of all("main .scroll table")) {
    const body = table.tBodies[0], heads = all("thead th", table);
    if (body.rows.length < 3) continue;
    heads.forEach((head, column) => {
      const button = make("button", {type: "button"}, ...head.childNodes);
      head.append(button);
      on(button, "click", () => {
        const cells = [...body.rows].map(row => [key(row.cells[column]), row]);
        const totals = cells.length && /^(all$|total)/.test(body.rows[cells.length - 1].cells[0].textContent) ? cells.splice(-1) : [];
        const was = head.getAttribute("aria-sort"), numbers = cells.some(([value]) => typeof value === "number");
        const order = was === "descending" || (!was && !numbers) ? "ascending" : "descending", sign = order === "ascending" ? 1 : -1;
        cells.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b));
        body.append(...[...cells, ...totals].map(([, row]) => row));
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
      });
    });
  }

  const numbers = document.getElementById("explorer-data");
  if (numbers) {
    for (const one of all(".needs-script")) one.hidden = false;
    explore(document.getElementById("explorer"), data(numbers));
  }

  // A link opens the section that it leads to; paper has all sections.
  const folds = all("details.section, details.rows"), toc = document.querySelector(".toc");
  const reveal = hash => document.getElementById(hash.slice(1))?.closest("details")?.setAttribute("open", "");
  for (const link of all("a[href^='#']")) on(link, "click", () => {
    reveal(link.hash);
    if (matchMedia("(max-width: 65.99rem)").matches) toc.open = false;
  });
  reveal(location.hash);
  let opened = [];
  on(window, "beforeprint", () => { opened = folds.filter(one => !one.open); for (const one of opened) one.open = true; });
  on(window, "afterprint", () => { for (const one of opened) one.open = false; });
  const fold = document.getElementById("fold");
  fold.hidden = false;
  on(fold, "click", () => {
    const sections = all("details.section"), open = !sections.some(one => one.open);
    for (const one of sections) one.open = open;
    fold.textContent = open ? "Fold all sections" : "Unfold all sections";
  });
  const links = new Map(all("a", toc).map(link => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) if (isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.getAttribute("aria-labelledby"))?.setAttribute("aria-current", "true");
    }
  }, {rootMargin: "-15% 0px -80%"});
  for (const section of all("main > section")) seen.observe(section);
})();
