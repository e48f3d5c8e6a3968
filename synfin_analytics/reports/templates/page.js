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

  for (const one of all(".needs-script")) one.hidden = false;

  // The threshold of the explorer on all other pictures where it is a place (_hover.py): a point, or a
  // line where a mark has only one of the two axes. An axis is [result, place of 0, length of 1].
  const numbers = document.getElementById("explorer-data");
  if (numbers) {
    const marked = all("[data-marks]").map(box => {
      const group = make("g", {class: "mark"}), note = make("span");
      box.querySelector("svg").append(group);
      box.parentElement.querySelector("figcaption").append(make("span", {class: "at"}, " ", note, ", selected in ", make("a", {href: "#explore"}, "Explore thresholds"), "."));
      return [JSON.parse(box.dataset.marks), group, note];
    });
    const between = (value, low, high) => value > low - .5 && value < high + .5;
    explore(document.getElementById("explorer"), data(numbers), undefined, (results, name) => {
      for (const [marks, group, note] of marked) {
        group.replaceChildren(...marks.flatMap(([[left, top, right, bottom], ...axes]) => {
          const [x, y] = axes.map(axis => axis && axis[1] + axis[2] * results[axis[0]]);
          if (y !== null && !between(y, top, bottom)) return [];
          // Without alerts, curves have their last point.
          if (x !== null && y !== null) return make("circle", {cx: Math.min(x, right), cy: y, r: 5});
          if (x === null) return make("path", {d: `M${left} ${y}H${right}`});
          return between(x, left, right) ? make("path", {d: `M${x} ${top}V${bottom}`}) : [];
        }));
        note.textContent = (group.firstChild ? "Marked: " : "Beyond the axes: ") + name;
      }
    });
  }

  // With a script, details start folded. A link opens its section; paper has all.
  const folds = all("details.section, details.rows"), toc = document.querySelector(".toc");
  const briefs = all(".brief").map(one => one.closest("details")), sections = briefs.length ? briefs : all("details.section");
  for (const one of briefs) one.open = false;
  const reveal = hash => document.getElementById(hash.slice(1))?.closest("details")?.setAttribute("open", "");
  for (const link of all("a[href^='#']")) on(link, "click", () => {
    reveal(link.hash);
    if (matchMedia("(max-width: 65.99rem)").matches) toc.open = false;
  });
  reveal(location.hash);
  let opened = [];
  on(window, "beforeprint", () => { opened = folds.filter(one => !one.open); for (const one of opened) one.open = true; });
  on(window, "afterprint", () => { for (const one of opened) one.open = false; });
  on(window, "hashchange", () => reveal(location.hash));
  const folded = () => sections.some(one => !one.open), buttons = all(".fold");
  const label = () => { for (const button of buttons) button.textContent = `${folded() ? "Expand" : "Collapse"} all sections`; };
  for (const button of buttons) on(button, "click", () => { const open = folded(); for (const one of sections) one.open = open; });
  for (const one of sections) on(one, "toggle", label);
  label();
  const links = new Map(all("a", toc).map(link => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) if (isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.getAttribute("aria-labelledby"))?.setAttribute("aria-current", "true");
    }
  }, {rootMargin: "-15% 0px -80%"});
  for (const section of all("main > section")) seen.observe(section);
})();
