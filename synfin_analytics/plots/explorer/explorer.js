/* The explorer of thresholds, in reports and in Jupyter. All results follow from counts at the points
   of `data` (_data.py). A report adds page.js; a widget adds an `export` (widget.py). */
const synfin = (() => {
  // Numbers as text, as _core/formatting.py writes them; a test compares them.
  const fixed = (value, digits) => {
    const size = Math.abs(value), sign = value < 0 ? "\u2212" : "";
    if (digits > 8 && size < 1e-3) return sign + size.toExponential(1).replace(/-(\d)$/, "-0$1");
    let text = size.toFixed(digits);
    const exact = size.toFixed(Math.min(digits + 40, 100)), cut = exact.slice(0, digits - 40 || undefined);
    // Python rounds a half to the even digit, JavaScript away from 0.
    if (/^50+$/.test(exact.slice(-40))) {
      const down = exact.slice(0, -40).replace(/\.$/, "");
      if ("02468".includes(down.at(-1))) text = down;
    }
    const [whole, rest] = text.split(".");
    return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? "." + rest : "");
  };
  const significant = value => value >= 1e-13 ? 1 - Math.floor(Math.log10(value)) : 0;
  const percent = share => {
    if (Number.isNaN(share)) return "not defined";
    const digits = Math.abs(share) >= .1 ? 1 : 2, value = 100 * share;
    const distance = share < 1 ? Math.min(Math.abs(value), Math.abs(100 - value)) : Math.abs(value);
    return fixed(value, distance < 1 ? Math.max(digits, significant(distance)) : digits) + "%";
  };
  const number = (value, digits = 0) => {
    if (Number.isNaN(value)) return "not defined";
    const rounded = Math.round(value * 10 ** digits) / 10 ** digits;
    const close = Math.abs(value - rounded) <= Math.max(1e-9 * Math.abs(value), 1e-13);
    return fixed(value, close ? digits : Math.max(digits, significant(Math.abs(value))));
  };
  const amount = (value, currency) => {
    const whole = Math.abs(value) >= 1000 || Math.abs(value - Math.round(value)) <= 1e-9;
    return `${number(value, whole ? 0 : 2)} ${currency}`.trim();
  };
  const score = value => {
    if (value === null) return "none";
    if (!value) return "0";
    const text = value < 1e-4 ? value.toExponential(3).replace(/\.?0*e-/, "e-").replace(/-(\d)$/, "-0$1") : String(+fixed(value, 3 - Math.floor(Math.log10(value))));
    return text === "1" && value !== 1 ? String(value) : text;
  };
  const compact = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3}).format;

  const clamp = (value, end) => Math.max(0, Math.min(end, value));
  const on = (element, name, act) => element.addEventListener(name, act);
  const make = (name, attributes = {}, ...children) => {
    const svg = /^(svg|path|circle|text|g)$/.test(name);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  /* Read the points of a picture out, by pointer and by keyboard. `points` returns [x, y, text] in units
     of the picture; a distance along y counts `weight` times one along x; `choose` is what a click or
     Enter does with a point. */
  const hover = (box, svg, points, weight = .1, choose, current = () => -1) => {
    const tip = make("div", {class: "tip", role: "status"});
    let at = -1, dot;
    tip.hidden = true;
    box.append(tip);
    const hide = () => { at = -1; tip.hidden = true; dot?.remove(); };
    const show = index => {
      const all = points();
      at = clamp(index, all.length - 1);
      const [x, y, text] = all[at], frame = box.getBoundingClientRect();
      dot?.remove();
      svg.append(dot = make("circle", {class: "dot", r: 4, cx: x, cy: y}));
      tip.textContent = text;
      tip.hidden = false;
      const seen = () => new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
      box.scrollLeft += Math.min(0, seen().x - frame.left - 40) + Math.max(0, seen().x - frame.right + 40);
      const place = seen(), left = place.x - frame.left - tip.offsetWidth / 2, top = place.y - frame.top;
      tip.style.left = box.scrollLeft + clamp(left, box.clientWidth - tip.offsetWidth) + "px";
      tip.style.top = (top > tip.offsetHeight + 10 ? top - tip.offsetHeight - 10 : top + 12) + "px";
    };
    const nearest = event => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = -1, least = Infinity;
      points().forEach(([x, y], index) => {
        const distance = (x - place.x) ** 2 + weight * (y - place.y) ** 2;
        if (distance < least) [best, least] = [index, distance];
      });
      return best;
    };
    for (const name of ["pointermove", "pointerdown"]) on(box, name, event => { if (points().length) show(nearest(event)); });
    on(box, "pointerleave", event => { if (event.pointerType === "mouse") hide(); });
    on(box, "blur", hide);
    on(box, "click", event => { if (choose && points().length) choose(nearest(event)); });
    on(box, "keydown", event => {
      const size = points().length, from = at < 0 ? current() : at, page = Math.ceil(size / 10);
      const to = {ArrowRight: from + 1, ArrowLeft: from < 0 ? size - 1 : from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: size - 1}[event.key];
      if (to !== undefined && size) show(to);
      else if (event.key === "Escape") hide();
      else if (choose && at >= 0 && (event.key === "Enter" || event.key === " ")) choose(at);
      else return;
      event.preventDefault();
    });
  };

  /* One curve. `x` and `y` are {at: the place of a point on the axis from 0 to 1, ticks: [[place, text]]}. */
  const chart = ({count, named, choose}, title, read, line) => {
    const svg = make("svg", {"aria-hidden": "true"});
    const box = make("div", {class: "plot", tabindex: 0, role: "group", "aria-label": `${title}: arrow keys read its points, Enter selects one`}, svg);
    let places = [], marked = 0, size;
    const self = {box: make("figure", {}, make("figcaption", {}, title), box)};
    const mark = make("g", {class: "mark"});
    self.draw = () => {
      const {x, y, text, base} = read(), width = size = box.clientWidth || 340, height = Math.max(210, Math.min(290, width * .68));
      const [left, right, top, bottom] = [50, 10, 8, 40], w = width - left - right, h = height - top - bottom;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const px = value => left + w * value, py = value => value > 1 + 1e-9 ? NaN : top + h * (1 - Math.max(0, value));
      const label = (content, x, y, anchor) => make("text", {x, y, "text-anchor": anchor}, content);
      svg.replaceChildren(
        ...y.ticks.flatMap(([value, name]) => [make("path", {class: "grid", d: `M${left} ${py(value)}h${w}`}), label(name, left - 6, py(value) + 4, "end")]),
        ...x.ticks.map(([value, name]) => label(name, px(value), top + h + 16, value > .97 ? "end" : value < .03 ? "start" : "middle")),
        make("path", {class: "axis", d: `M${left} ${top + h}h${w}`}),
        label(x.label, left + w / 2, height - 4, "middle"));
      if (base !== undefined) svg.append(make("path", {class: "base", d: base.map(([u, v], i) => `${i ? "L" : "M"}${px(u)} ${py(v)}`).join("")}));
      places = Array.from({length: count}, (_, i) => [px(x.at(i)), py(y.at(i)), `${named(i)}: ${text(i)}`]);
      let path = "", before = null;
      for (const [u, v] of places) {
        if (!(u + v >= 0)) continue;
        const [a, b] = [u.toFixed(2), v.toFixed(2)];
        path += before === null ? (line === "up" ? `M${left} ${b}H${a}` : `M${a} ${b}`) : line === "up" ? `V${b}H${a}` : line === "down" ? `H${a}V${b}` : `L${a} ${b}`;
        before = u;
      }
      svg.append(make("path", {class: "line", d: path}), mark);
      self.mark(marked);
    };
    self.mark = index => {
      marked = index;
      const [u, v] = places[index];
      mark.replaceChildren(...u + v >= 0 ? [make("path", {d: `M50 ${v}H${u}V${svg.viewBox.baseVal.height - 40}`}), make("circle", {cx: u, cy: v, r: 6})] : []);
    };
    const shown = () => [...places.keys()].filter(i => places[i][0] + places[i][1] >= 0);
    hover(box, svg, () => shown().map(i => places[i]), .1, index => choose(shown()[index]), () => shown().indexOf(marked));
    new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== size) self.draw(); }).observe(box);
    return self;
  };

  const linear = (end, format) => {
    const rough = end / 5, power = 10 ** Math.floor(Math.log10(rough || 1));
    const step = power * [1, 2, 5, 10].find(size => size * power >= rough * .99);
    return {ticks: Array.from({length: Math.floor(end / step + 1e-9) + 1}, (_, i) => [i * step / end, format(i * step)])};
  };
  const shares = (at, label) => ({...linear(1, value => Math.round(100 * value) + "%"), at, label});

  /* Build the explorer in `root`. Returns the function that sets its threshold. `changed` hears the
     threshold that a reader selects; `drawn` the results of the one that is shown, with the cost that
     the page assumes, and its name. */
  const explore = (root, data, changed = () => {}, drawn = () => {}) => {
    const {n, n_frauds: frauds, days, currency, z, points} = data, {threshold: thresholds, alerts, tp, caught} = points;
    const count = alerts.length, per = days ? "alerts per day" : "alerts", spread = days || 1;
    const total = caught ? caught[count - 1] : NaN;
    let at = data.position, perAlert = data.cost_per_alert, recovered = data.recovery_rate, budget = data.alerts_per_day;
    const cost = (i, each, part) => caught ? each * alerts[i] + (total - caught[i]) + (1 - part) * caught[i] : NaN;
    const results = i => {
      const fp = alerts[i] - tp[i], fn = frauds - tp[i], tn = n - frauds - fp;
      const share = (part, whole) => whole ? part / whole : NaN;
      return {fp, fn, tn, precision: share(tp[i], alerts[i]), recall: share(tp[i], frauds), rate: share(fp, n - frauds),
        daily: alerts[i] / spread, value: caught ? share(caught[i], total) : NaN, cost: cost(i, perAlert, recovered)};
    };
    const interval = (part, whole) => {
      if (!z || !whole) return "";
      const p = part / whole, scale = 1 + z * z / whole, middle = (p + z * z / 2 / whole) / scale;
      const half = z / scale * Math.sqrt(p * (1 - p) / whole + z * z / 4 / whole / whole);
      return `${+(100 * data.confidence_level).toPrecision(6)}% CI ${percent(part ? Math.max(0, middle - half) : 0)} to ${percent(part < whole ? Math.min(1, middle + half) : 1)}`;
    };
    const often = value => number(value, days ? 1 : 0);
    const cheapest = () => { let best = 0; for (let i = 1; i < count; i++) if (results(i).cost < results(best).cost) best = i; return best; };
    const within = limit => { let last = 0; while (last + 1 < count && alerts[last + 1] <= limit * spread) last++; return last; };
    const below = value => { let last = 0; while (last + 1 < count && thresholds[last + 1] >= value) last++; return last; };

    // Controls.
    const slider = make("input", {type: "range", min: 0, max: count - 1, step: 1});
    const numeric = attributes => make("input", {type: "number", min: 0, step: "any", inputmode: "decimal", ...attributes});
    const typed = numeric({max: 1});
    const field = (name, input) => make("label", {}, make("span", {}, name), input);
    const entered = input => input.value !== "" && input.checkValidity();
    const entry = (name, value, hear, attributes = {}) => {
      const input = numeric({value: value ?? "", ...attributes});
      on(input, "input", () => { if (entered(input)) hear(+input.value); });
      return field(name, input);
    };
    const button = (name, act) => { const one = make("button", {type: "button"}, name); on(one, "click", act); return one; };
    const money = currency ? ` (${currency})` : "";
    const fields = make("div", {class: "fields"}, field("Threshold", typed),
      entry(days ? "Alert budget per day" : "Alert budget", budget, value => { budget = value; charts[2].draw(); move(within(value)); }));
    const buttons = make("div", {class: "buttons"}, button("Back to the start", () => move(data.position)));
    if (caught) {
      fields.append(entry(`Cost per alert${money}`, perAlert, value => { perAlert = value; redraw(); }),
        entry("Recovery rate (%)", +(100 * recovered).toPrecision(12), value => { recovered = value / 100; redraw(); }, {max: 100}));
      buttons.append(button("Lowest cost", () => move(cheapest())));
    }
    on(slider, "input", () => move(count - 1 - slider.value));
    on(typed, "change", () => { if (entered(typed)) move(below(+typed.value), true); else update(); });

    // Results.
    const list = make("dl", {class: "tiles"});
    const tile = (key, name) => {
      const value = make("b"), note = make("small");
      list.append(make("div", {"data-result": key}, make("dt", {}, name), make("dd", {}, value, note)));
      return (text, ...more) => { value.textContent = text; note.textContent = more.filter(Boolean).join("\n"); };
    };
    const tiles = {precision: tile("precision", "Precision"), recall: tile("recall", "Recall"), rate: tile("rate", "False-positive rate"), daily: tile("daily", days ? "Alerts per day" : "Alerts"),
      ...caught && {value: tile("value", "Fraud value caught"), cost: tile("cost", "Cost")}};
    const cells = ["tp", "fn", "fp", "tn"].map(name => make("td", {"data-result": name}));
    const row = (name, ...of) => make("tr", {}, make("th", {scope: "row"}, name), ...of);
    const head = name => make("th", {scope: "col"}, name);
    const matrix = make("table", {}, make("caption", {}, "Confusion matrix"), make("thead", {}, make("tr", {}, head("label"), head("alert"), head("no alert"))), make("tbody", {}, row("fraud", ...cells.slice(0, 2)), row("genuine", ...cells.slice(2))));
    const status = make("p", {class: "said", role: "status"});

    // Curves.
    const end = data.axis_end;
    const place = i => i ? thresholds[i] / end : 1;
    const byThreshold = {...linear(end, value => String(+value.toPrecision(6))), at: place, label: "threshold"};
    const shape = data.distance === 0 ? "down" : "straight";
    const named = i => thresholds[i] === null ? "no alerts" : `threshold ${score(thresholds[i])}`;
    const highestDaily = n / spread, lowestDaily = (alerts[1] ?? 1) / spread, decades = [Math.floor(Math.log10(lowestDaily)), Math.log10(highestDaily || 1)];
    if (decades[1] - decades[0] < 1) decades[0] = decades[1] - 1;
    const log = value => value ? (Math.log10(value) - decades[0]) / (decades[1] - decades[0]) : 0;
    const powers = []; for (let power = Math.ceil(decades[0]); power <= decades[1]; power++) powers.push([log(10 ** power), compact(10 ** power)]);
    const shared = {count, named, choose: index => move(index)};
    const charts = [
      chart(shared, "Precision-recall curve", () => ({x: shares(i => results(i).recall, "recall"), y: shares(i => results(i).precision),
        base: n ? [[0, frauds / n], [1, frauds / n]] : undefined, text: i => `precision ${percent(results(i).precision)}, recall ${percent(results(i).recall)}`}), data.distance === 0 ? "up" : "straight"),
      chart(shared, "ROC curve", () => ({x: shares(i => results(i).rate, "false-positive rate"), y: shares(i => results(i).recall),
        base: [[0, 0], [1, 1]], text: i => `false-positive rate ${percent(results(i).rate)}, recall ${percent(results(i).recall)}`}), "straight"),
      chart(shared, `${days ? "Alerts per day" : "Alerts"} by threshold`, () => ({x: byThreshold, y: {ticks: powers.length > 6 ? powers.filter((_, i) => i % 2 === 0) : powers, at: i => log(results(i).daily)},
        base: budget > 0 ? [[0, log(budget)], [1, log(budget)]] : undefined, text: i => `${often(results(i).daily)} ${per}`}), shape)];
    if (caught) charts.push(chart(shared, `Cost by threshold${money}`, () => {
      const costs = alerts.map((_, i) => results(i).cost), top = Math.min(1.06 * Math.max(...costs), 2 * total) || 1, axis = linear(top, compact);
      return {x: byThreshold, y: {...axis, at: i => costs[i] / top}, base: [[0, total / top], [1, total / top]], text: i => `cost ${amount(costs[i], currency)}`};
    }, shape));

    root.classList.add("explorer");
    root.replaceChildren(
      make("div", {class: "controls"}, make("label", {class: "slide"}, make("span", {}, "Threshold: drag or use arrow keys"), slider), fields, buttons),
      make("div", {class: "results"}, list, matrix), status, make("div", {class: "charts"}, ...charts.map(one => one.box)), make("p", {class: "soft"}, data.note));

    let timer;
    function update(keep) {
      const r = results(at), start = results(data.position), than = key => at === data.position ? "" : `start: ${key}`;
      tiles.precision(percent(r.precision), `${number(tp[at])} of ${number(alerts[at])} alerts`, interval(tp[at], alerts[at]), than(percent(start.precision)));
      tiles.recall(percent(r.recall), `${number(tp[at])} of ${number(frauds)} frauds`, interval(tp[at], frauds), than(percent(start.recall)));
      tiles.rate(percent(r.rate), `${number(r.fp)} of ${number(n - frauds)} genuine`, than(percent(start.rate)));
      const over = budget === null ? "" : `${r.daily > budget ? "over" : "within"} the budget of ${number(budget)}`;
      tiles.daily(often(r.daily), days ? `${number(alerts[at])} in ${number(days)} days` : "", over, than(often(start.daily)));
      if (caught) {
        tiles.value(percent(r.value), `${amount(caught[at], currency)} of ${amount(total, currency)}`, than(percent(start.value)));
        tiles.cost(amount(r.cost, currency), `saved: ${amount(total - r.cost, currency)}`, than(amount(start.cost, currency)));
      }
      cells.forEach((cell, i) => { cell.textContent = number([tp[at], r.fn, r.fp, r.tn][i]); });
      slider.value = count - 1 - at;
      slider.setAttribute("aria-valuetext", `${named(at)}, ${often(r.daily)} ${per}`);
      if (!keep) typed.value = at === data.position ? data.threshold ?? "" : thresholds[at] === null ? "" : +thresholds[at].toPrecision(6);
      for (const one of charts) one.mark(at);
      drawn({...r, threshold: thresholds[at] ?? Infinity, share: Math.log10(alerts[at] / n), cost: cost(at, data.cost_per_alert, data.recovery_rate)},
        at === data.position && data.threshold !== null ? `threshold ${score(data.threshold)}` : named(at));
      clearTimeout(timer);
      timer = setTimeout(() => { status.textContent = [`At ${named(at)}`, ...[...list.children].map(one => `${one.firstChild.textContent} ${one.querySelector("b").textContent}`)].join(", ") + "."; }, 400);
      root.dataset.threshold = thresholds[at] ?? "";
    }
    function move(index, keep) { at = clamp(+index, count - 1); update(keep); changed(thresholds[at]); }
    function redraw() { for (const one of charts) one.draw(); move(at); }
    for (const one of charts) one.draw();
    update();
    return value => { at = value === null ? 0 : below(value); update(); };
  };
  return {explore, hover, make, on, texts: {percent, number, amount, score}};
})();
