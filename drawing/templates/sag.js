"use strict";
// One image's SAG: the image of a patch set, the table of scores, the grid to click, the roots and the graph.
const $ = id => document.getElementById(id);
const record = JSON.parse($("record").textContent);
const [rows, columns] = record.grid, patches = rows * columns, [height, width] = record.size;
const everything = [...Array(patches).keys()], nodes = record.sag.nodes, edges = record.sag.edges;
const THUMB = 124, DIM = 0.3, ABREAST = 14, MOST_LABELS = 36, MOST_LINES = 120, MOST_NEAR = 3;
const UPRIGHT = [690, 880], SIDEWAYS = [960, 560];      // what a page has for the graph, A4 or letter: pixels of CSS

// ------------------------------------------------------------ words

const costOf = points => `${points > 0 ? "+" : points < 0 ? "−" : ""}${Math.abs(points)} ${Math.abs(points) === 1 ? "point" : "points"}`;
const percent = probability => record.probability > 0 ? `${Math.round(100 * probability / record.probability)} %` : probability.toFixed(4);
const regions = record.regions, nameOf = p => regions ? regions.names[p] : `P${p}`, one = regions ? "region" : "patch", many = regions ? "regions" : "patches";
const named = set => set.map(nameOf).join(" & ") || `no ${one}`;
const short = set => set.length <= 4 ? named(set) : `${set.length} ${many}`;
const sufficient = probability => probability > record.threshold * record.probability;
// With a decimal where the rounded number is the threshold's, so that one sees on which side it is.
const percentBesideThreshold = probability => {
  const share = 100 * probability / record.probability, isClose = Math.round(share) === Math.round(100 * record.threshold);
  return record.probability > 0 && isClose ? `${share.toFixed(1)} %` : percent(probability);
};
const said = list => list.length < 2 ? list.join("") : `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------ images of patch sets

const sources = {};                                     // size -> the pixels of image and baseline at that size

async function loaded(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

function pixels(image, w, h) {
  const canvas = element("canvas", {width: w, height: h}), context = canvas.getContext("2d", {willReadFrequently: true});
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, w, h);
  return context.getImageData(0, 0, w, h).data;
}

// Along one side, for each pixel: the patch whose centre is before it, and how far it is on the way to the next one's.
function axis(cells, size) {
  return Array.from({length: size}, (_, i) => {
    if (record.squares) return [Math.floor((i + 0.5) * cells / size), 0];
    const at = cells > 1 && size > 1 ? i * (cells - 1) / (size - 1) : 0, before = Math.min(Math.floor(at), Math.max(cells - 2, 0));
    return [before, at - before];
  });
}

// The region at each pixel of a w x h image: a grey level of the map, each pixel as its nearest one.
function regionsAt(map, w, h) {
  const all = pixels(map, width, height), at = new Uint8Array(w * h);
  for (let y = 0, k = 0; y < h; y++) for (let x = 0; x < w; x++) at[k++] = all[4 * (Math.floor((y + 0.5) * height / h) * width + Math.floor((x + 0.5) * width / w))];
  return at;
}

// What the network sees of a set: image and baseline mixed by the tents of the visible patches (bilinear, aligned corners).
function compose(canvas, set, seen) {
  const w = canvas.width, h = canvas.height, source = sources[w], visible = new Set(set);
  const shows = new Float32Array((rows + 1) * (columns + 1));            // a further row and column: no neighbour there
  for (const p of set) shows[Math.floor(p / columns) * (columns + 1) + p % columns] = 1;
  const context = canvas.getContext("2d"), out = context.createImageData(w, h), data = out.data;
  for (let y = 0, k = 0; y < h; y++) {
    const [r, f] = source.down[y], up = r * (columns + 1), low = up + columns + 1;
    for (let x = 0; x < w; x++, k += 4) {
      const [c, g] = source.across[x];
      const weight = source.region ? +visible.has(source.region[k >> 2]) : (1 - f) * ((1 - g) * shows[up + c] + g * shows[up + c + 1]) + f * ((1 - g) * shows[low + c] + g * shows[low + c + 1]);
      const grey = DIM / 3 * (source.image[k] + source.image[k + 1] + source.image[k + 2]);
      for (let i = k; i < k + 3; i++) {
        const rest = seen ? source.baseline[i] : grey;
        data[i] = rest + weight * (source.image[i] - rest);
      }
      data[k + 3] = 255;
    }
  }
  context.putImageData(out, 0, 0);
}

// The pixels that belong to a patch, as shares of the image: left, top, width, height.
function cell(p) {
  const span = (i, cells) => record.squares || cells === 1 ? [i / cells, (i + 1) / cells]
    : [Math.max(0, (i - 0.5) / (cells - 1)), Math.min(1, (i + 0.5) / (cells - 1))];
  const [top, bottom] = span(Math.floor(p / columns), rows), [left, right] = span(p % columns, columns);
  return [left, top, right - left, bottom - top];
}

function outline(canvas, removed) {
  const context = canvas.getContext("2d");
  context.strokeStyle = context.fillStyle = "#e62828";
  if (regions) {
    const w = canvas.width, at = sources[w].region;
    for (const [p, drop] of removed) {
      const thick = 1 + 3 * Math.min(Math.max(drop, 0), 1);
      for (let k = 0; k < at.length; k++) if (at[k] === p && [k - 1, k + 1, k - w, k + w].some(n => at[n] !== p)) context.fillRect(k % w - thick / 2, Math.floor(k / w) - thick / 2, thick, thick);
    }
    return;
  }
  for (const [p, drop] of removed) {
    const [x, y, w, h] = cell(p), thick = 1 + 3 * Math.min(Math.max(drop, 0), 1);
    context.lineWidth = thick;
    context.strokeRect(x * canvas.width + thick / 2, y * canvas.height + thick / 2, w * canvas.width - thick, h * canvas.height - thick);
  }
}

// ------------------------------------------------------------ the table of scores

const words = Math.ceil(patches / 32);
let table = null;                                       // made when the first question is asked

function keyOf(set) {
  const key = new Uint32Array(words);
  for (const p of set) key[p >>> 5] |= 1 << (p & 31);
  return key;
}

// Sets as the record has them, hexadecimal numbers with spaces between them.
function keysOf(text, count) {
  const keys = new Uint32Array(count * words);
  let start = 0;
  for (let i = 0; i < count; i++) {
    let stop = text.indexOf(" ", start);
    if (stop < 0) stop = text.length;
    for (let word = 0, end = stop; end > start; word++, end -= 8) keys[i * words + word] = parseInt(text.slice(Math.max(start, end - 8), end), 16);
    start = stop + 1;
  }
  return keys;
}

function decoded() {
  const text = $("sets").textContent.trim(), probabilities = JSON.parse($("probabilities").textContent);
  const known = text ? [] : [...new Map([...nodes, ...record.roots, {patches: everything, probability: record.probability},
    {patches: [], probability: record.baseline.probability}].map(s => [s.patches.join(), s])).values()];      // an older record
  const count = text ? probabilities.length : known.length, keys = text ? keysOf(text, count) : new Uint32Array(count * words);
  if (!text) known.forEach((s, i) => keys.set(keyOf(s.patches), i * words));
  return {count, keys, probabilities: text ? probabilities : known.map(s => s.probability)};
}

function bits(word) {
  word -= word >>> 1 & 0x55555555;
  word = (word & 0x33333333) + (word >>> 2 & 0x33333333);
  return (word + (word >>> 4) & 0x0f0f0f0f) * 0x01010101 >>> 24;
}

// The score of exactly this set, or, where it has none, the nearest scored sets that contain it or that it contains.
function lookUp(set) {
  table ??= decoded();
  const key = keyOf(set), larger = [], smaller = [], {count, keys, probabilities} = table;
  let exact = null;
  for (let i = 0; i < count && exact === null; i++) {
    let above = true, below = true, differ = 0;
    for (let word = 0; word < words && (above || below); word++) {
      const other = keys[i * words + word], mine = key[word];
      above &&= (other & mine) >>> 0 === mine;
      below &&= (other & mine) >>> 0 === other;
      differ += bits(other ^ mine);
    }
    if (above && below) exact = probabilities[i];
    else if (above || below) keepBest(above ? larger : smaller, {i, differ, probability: probabilities[i]});
  }
  const spelled = best => best.map(({i, probability}) => ({set: everything.filter(p => keys[i * words + (p >>> 5)] >>> (p & 31) & 1), probability}));
  return {exact, larger: spelled(larger), smaller: spelled(smaller)};
}

// What the network would say of a set that it was never shown: the formula of scoring/estimate.py. Null without an estimate.
let support = null;                                     // made when the first set is estimated

function estimated(set) {
  const known = record.estimate;
  if (!known) return null;
  support ??= keysOf(known.sets, known.weights.length);
  const key = keyOf(set);
  let odds = known.constant, nearest = Infinity;
  for (const p of set) odds += known.effects[p];
  known.weights.forEach((weight, i) => {
    let differ = 0;
    for (let word = 0; word < words; word++) differ += bits(support[i * words + word] ^ key[word]);
    odds += weight * Math.exp(-differ / known.length);
    nearest = Math.min(nearest, differ);
  });
  const half = known.spread * Math.sqrt(1 + known.noise - Math.exp(-2 * nearest / known.length) / (1 + known.noise));
  const [probability, low, high] = [odds, odds - half, odds + half].map(value => 1 / (1 + Math.exp(-value)));
  return {probability, low, high};
}

function estimateInWords({probability, low, high}) {
  return `estimated ${percent(probability)}, likely ${percent(low).replace(" %", "")} to ${percent(high)}`;
}

function keepBest(best, item) {
  const worse = (a, b) => a.differ - b.differ || b.probability - a.probability;
  if (best.length === MOST_NEAR && worse(item, best[MOST_NEAR - 1]) >= 0) return;
  best.push(item);
  best.sort(worse);
  best.length = Math.min(best.length, MOST_NEAR);
}

// ------------------------------------------------------------ the grid to click

const chosen = new Set(everything), buttons = [];
let current = 0;                                        // the patch that has the keyboard

function makeGrid() {
  for (const p of everything) {
    const [x, y, w, h] = cell(p), row = Math.floor(p / columns), column = p % columns;
    const button = element("button", {type: "button", className: regions ? "patch region" : "patch", textContent: regions ? nameOf(p) : p, tabIndex: p ? -1 : 0});
    button.setAttribute("aria-label", regions ? nameOf(p) : `patch ${p}, row ${row + 1}, column ${column + 1}`);
    if (regions) button.style.cssText = `left:${100 * (regions.middles[p][0] + 0.5) / width}%;top:${100 * (regions.middles[p][1] + 0.5) / height}%`;
    else button.style.cssText = `left:${100 * x}%;top:${100 * y}%;width:${100 * w}%;height:${100 * h}%;font-size:${Math.max(7, Math.min(12, 90 / columns))}px`;
    button.addEventListener("click", () => { move(p); chosen.has(p) ? chosen.delete(p) : chosen.add(p); update(); });
    buttons.push(button);
  }
  $("grid").append(...buttons);
  $("grid").addEventListener("keydown", event => {
    const row = Math.floor(current / columns), column = current % columns;
    const to = {ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
                Home: [row, 0], End: [row, columns - 1]}[event.key];
    if (!to) return;
    event.preventDefault();
    move(Math.min(rows - 1, Math.max(0, to[0])) * columns + Math.min(columns - 1, Math.max(0, to[1])));
    buttons[current].focus();
  });
}

function move(p) {
  buttons[current].tabIndex = -1;
  buttons[current = p].tabIndex = 0;
}

function choose(set) {
  chosen.clear();
  set.forEach(p => chosen.add(p));
  update();
}

const chosenSet = () => everything.filter(p => chosen.has(p));

// The image and the grid's buttons: of the chosen set, or, while a node is pointed at, of that node.
function show(set, lit) {
  compose($("view"), set, $("as-seen").checked);
  const visible = new Set(set);
  buttons.forEach((button, p) => button.classList.toggle("lit", lit && visible.has(p)));
  $("pointed").textContent = lit ? `${short(set)}, pointed at` : "";
}

function update() {
  const set = chosenSet(), {exact, larger, smaller} = lookUp(set);
  show(set, false);
  buttons.forEach((button, p) => button.setAttribute("aria-pressed", chosen.has(p)));
  const hidden = everything.filter(p => !chosen.has(p));
  $("visible").textContent = !hidden.length ? `All ${many} are visible.` : hidden.length < set.length ? `Hidden: ${said(hidden.map(nameOf))}. The rest is visible.`
    : set.length ? `Visible: ${said(set.map(nameOf))}. The rest is hidden.` : `All ${many} are hidden.`;
  const known = exact !== null, bar = $("answer-bar"), guess = known ? null : estimated(set);
  $("confidence").textContent = known ? percentBesideThreshold(exact) : guess ? estimateInWords(guess) : "not scored";
  $("confidence").classList.toggle("unknown", !known);
  bar.hidden = !known;
  if (known) fillBar(bar, exact);
  $("verdict").textContent = known ? `of the full image's confidence: probability ${exact.toFixed(4)}, ${sufficient(exact) ? "" : "not "}sufficient (above ${Math.round(100 * record.threshold)} % is). This very set was scored.`
    : (guess ? "An estimate from the sets that were scored, in % of the full image's confidence; 4 of 5 lie within what is likely. This very set was never shown to the network."
      : "This very set was never shown to the network, so its confidence is unknown.") + " The nearest sets that were scored:";
  $("near").replaceChildren(...(known ? [] : [nearList("With more visible", larger, set), nearList("With less visible", smaller, set)]));
}

function nearList(title, found, set) {
  const mine = new Set(set), items = found.map(({set: other, probability}) => {
    const theirs = new Set(other), added = other.filter(p => !mine.has(p)), gone = set.filter(p => !theirs.has(p));
    const difference = added.length ? `also ${short(added)}` : `without ${short(gone)}`;
    const button = element("button", {type: "button", textContent: `${difference}: ${percent(probability)}`});
    button.addEventListener("click", () => { choose(other); buttons[current].focus(); });
    light(button, other);
    return element("li", {}, button);
  });
  return element("div", {}, element("h3", {textContent: title}), element("ul", {}, ...(items.length ? items : [element("li", {className: "note", textContent: "none"})])));
}

function fillBar(bar, probability) {
  const share = record.probability > 0 ? probability / record.probability : probability;
  bar.classList.toggle("enough", sufficient(probability));
  bar.querySelector("i").style.width = `${100 * Math.min(1, share)}%`;
  bar.querySelector("b").style.left = `${100 * record.threshold}%`;
}

// Pointing at something, or having the keyboard on it, highlights its patches in the image.
function light(target, set, more = () => {}) {
  const on = () => { show(set, true); more(true); }, off = () => { show(chosenSet(), false); more(false); };
  target.addEventListener("mouseenter", on);
  target.addEventListener("mouseleave", off);
  target.addEventListener("focus", on);
  target.addEventListener("blur", off);
}

// ------------------------------------------------------------ sets as images to press

const unseen = new IntersectionObserver(entries => {
  for (const {isIntersecting, target} of entries) if (isIntersecting) {
    unseen.unobserve(target);
    target.draw();
  }
}, {rootMargin: "300px"});

function setButton(s, isRoot, removed, more) {
  const canvas = element("canvas", {width: THUMB, height: Math.round(THUMB * height / width)});
  canvas.setAttribute("aria-hidden", "true");
  canvas.draw = () => { compose(canvas, s.patches, false); outline(canvas, removed); };
  unseen.observe(canvas);
  const bar = element("span", {className: "bar", ariaHidden: "true"}, element("i"), element("b"));
  fillBar(bar, s.probability);
  const button = element("button", {type: "button", className: isRoot ? "node root" : "node"}, canvas, bar,
    element("span", {className: "percent", textContent: percent(s.probability)}), element("span", {className: "names", textContent: short(s.patches)}));
  button.title = named(s.patches);
  light(button, s.patches, more);
  button.addEventListener("click", () => {
    choose(s.patches);
    if (innerWidth <= 820) $("ask").scrollIntoView();                    // there the answer is out of sight
  });
  return button;
}

// What a screen reader reads of a set's button: what is written there, each patch of a large set, and what else is known.
function describe(button, set, known) {
  const written = [...button.querySelectorAll(".percent, .names")].map(span => span.textContent);
  const each = short(set) === named(set) ? [] : [named(set)];
  button.setAttribute("aria-label", [[...written, ...each].join(", "), ...known].join("; "));
}

function makeRoots() {
  $("roots").append(...record.roots.map((root, i) => {
    const button = setButton(root, true, []);
    if (root.minimal === "single") button.title += `: ${record.proofs[i]}`;
    if (root.minimal === "single") button.append(element("span", {className: "names", textContent: "only 1-minimal"}));
    describe(button, root.patches, ["root", record.proofs[i]]);
    return element("li", {}, button);
  }));
}

function makeNeeded() {
  if (!record.needed) return;
  $("needed-part").hidden = false;
  $("needed-words").textContent = record.needed.words;
  $("needed").append(...record.needed.roots.map((root, i) => {
    const hidden = new Set(root.patches), rest = everything.filter(p => !hidden.has(p));
    const button = setButton({patches: rest, probability: root.probability}, false, root.patches.map(p => [p, 0.2]));
    const without = `without ${short(root.patches)}`;
    button.querySelector(".names").textContent = without;
    describe(button, root.patches, [record.needed.proofs[i]]);
    button.title = `without ${named(root.patches)}: ${record.needed.proofs[i]}`;
    return element("li", {}, button);
  }));
}

// ------------------------------------------------------------ the graph, a row for each size

const made = new Map(), levels = new Map(), relative = nodes.map(n => record.probability > 0 ? n.probability / record.probability : 0);
const parents = nodes.map(() => []), children = nodes.map(() => []);
edges.forEach(([a, b, p]) => { children[a].push([b, p]); parents[b].push([a, p]); });
let drawnNodes = new Set(), pointed = null;

// What the step from node a to node b costs, in words.
const costOfStep = (a, b) => costOf(Math.round(100 * (relative[b] - relative[a])));

function makeGraph() {
  const sizes = [...new Set(nodes.map(n => n.patches.length))].sort((a, b) => b - a);
  for (const size of sizes) {
    const all = element("button", {type: "button", className: "tool"}), list = element("ul", {className: "nodes"});
    const item = element("li", {}, element("h3", {textContent: size > 1 ? `${size} ${many}` : size ? `1 ${one}` : `No ${one}`}), list, all);
    levels.set(size, {item, list, all, open: false});
    all.addEventListener("click", () => { levels.get(size).open = true; drawGraph(); list.children[ABREAST]?.firstChild.focus(); });
  }
  $("levels").append(...[...levels.values()].map(level => level.item));
  const slider = $("threshold");
  slider.min = slider.value = Math.round(100 * record.node_threshold);
  slider.addEventListener("input", drawGraph);
  new ResizeObserver(drawEdges).observe($("graph"));
}

// The sets that a graph with this threshold has: roots, and one patch less while the confidence is above it.
function reachable(threshold) {
  const found = new Set([...nodes.keys()].filter(i => !parents[i].length)), queue = [...found];
  while (queue.length) {
    const i = queue.pop();
    if (relative[i] > threshold) for (const [child] of children[i]) if (!found.has(child)) { found.add(child); queue.push(child); }
  }
  return found;
}

function nodeItem(i) {
  if (!made.has(i)) {
    const removed = parents[i].map(([a, p]) => [p, relative[a] - relative[i]]);
    const steps = children[i].map(([b, p]) => `without ${nameOf(p)} ${percent(nodes[b].probability)}, ${costOfStep(i, b)}`);
    const isRoot = !parents[i].length, button = setButton(nodes[i], isRoot, removed, on => { pointed = on ? i : null; drawEdges(); });
    describe(button, nodes[i].patches, isRoot ? ["root", ...steps] : steps);
    made.set(i, element("li", {}, button));
  }
  return made.get(i);
}

function drawGraph() {
  const slider = $("threshold"), within = reachable(Math.max(slider.value / 100, record.node_threshold)), places = new Map();
  $("threshold-value").textContent = `${slider.value} %`;
  slider.setAttribute("aria-valuetext", `${slider.value} %`);
  drawnNodes = new Set();
  for (const [size, level] of levels) {
    const members = [...within].filter(i => nodes[i].patches.length === size);
    const open = level.open || members.length <= ABREAST + 2;
    const kept = open ? members : members.sort((a, b) => !parents[b].length - !parents[a].length || relative[b] - relative[a]).slice(0, ABREAST);
    const middle = i => { const above = parents[i].filter(([a]) => places.has(a)); return above.length ? above.reduce((sum, [a]) => sum + places.get(a), 0) / above.length : 1; };
    kept.sort((a, b) => middle(a) - middle(b) || a - b);
    kept.forEach((i, place) => { places.set(i, (place + 0.5) / kept.length); drawnNodes.add(i); });
    level.list.replaceChildren(...kept.map(nodeItem));
    level.item.hidden = !kept.length;
    level.all.hidden = open;
    level.all.textContent = `Show all ${members.length}, not only the ${kept.length} most confident`;
  }
  $("graph-count").textContent = `${within.size} of ${nodes.length} sets`;
  drawEdges();
}

function drawEdges() {
  const svg = document.querySelector("#graph svg"), origin = svg.getBoundingClientRect(), parts = [];
  const visible = edges.filter(([a, b]) => drawnNodes.has(a) && drawnNodes.has(b) && relative[a] > $("threshold").value / 100);
  const crowded = visible.length > MOST_LINES;                           // then only the lines of the set pointed at
  const near = new Set(pointed === null ? [] : [...parents[pointed], ...children[pointed]].map(([i]) => i));
  for (const i of drawnNodes) made.get(i).firstChild.classList.toggle("near", near.has(i));
  const kept = visible.filter(([a, b]) => !crowded || a === pointed || b === pointed);
  sayWide(crowded);
  for (const [a, b, p] of kept) {
    const from = made.get(a).getBoundingClientRect(), to = made.get(b).getBoundingClientRect(), on = a === pointed || b === pointed;
    const x1 = from.left + from.width / 2 - origin.left, y1 = from.bottom - origin.top + 2, x2 = to.left + to.width / 2 - origin.left, y2 = to.top - origin.top - 2;
    const drop = relative[a] - relative[b], line = shape("line", {x1, y1, x2, y2, "stroke-width": 1 + 3 * Math.min(Math.max(drop, 0), 1), class: on ? "on" : ""});
    parts.unshift(line);
    if (on || visible.length <= MOST_LABELS) {
      const t = on && a === pointed ? 0.66 : 0.5, x = x1 + t * (x2 - x1), text = shape("text", {x, y: y1 + t * (y2 - y1)});
      text.append(shape("tspan", {x, dy: -2}, `−${nameOf(p)}`), shape("tspan", {x, dy: 13}, costOfStep(a, b)));
      parts.push(text);
    }
  }
  svg.setAttribute("viewBox", `0 0 ${origin.width} ${origin.height}`);  // as measured, also where paper makes it smaller
  svg.replaceChildren(...parts);
}

// A graph that is wider than its place is scrolled sideways, with the keyboard too.
function sayWide(crowded) {
  const place = $("scroll"), wide = place.scrollWidth > place.clientWidth + 1;
  if (wide) place.tabIndex = 0;
  else place.removeAttribute("tabindex");
  $("graph-hint").textContent = [wide ? "This graph is wide: scroll it sideways." : "", crowded ? "Point at a set, or move to it with Tab, to see the edges from and to it." : ""].filter(Boolean).join(" ");
  $("graph-hint").hidden = !wide && !crowded;
}

// On paper the graph is on one page, whichever way it gets larger.
function fitToPaper() {
  document.querySelectorAll(".node canvas").forEach(canvas => canvas.draw());
  const graph = $("graph"), w = $("scroll").scrollWidth, h = graph.scrollHeight;
  const [upright, sideways] = [UPRIGHT, SIDEWAYS].map(([across, down]) => Math.min(1, across / w, down / h));
  graph.style.width = `${w}px`;
  document.documentElement.classList.toggle("sideways", sideways > upright);
  document.documentElement.style.setProperty("--fit", Math.max(upright, sideways));
}

function shape(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// ------------------------------------------------------------ words and facts

function makeWords() {
  const roots = record.roots, proven = roots.filter(r => r.minimal === "subset").length;
  $("name").textContent = record.title;
  $("found").textContent = `${record.image}: probability ${record.probability.toFixed(4)} on the full image` +
    (roots.length ? `, ${roots.length} minimal sufficient explanation${roots.length > 1 ? "s" : ""} found, ${proven} proven minimal.` : ".");
  const each = roots.map(r => !r.patches.length ? `no ${one} at all` : regions ? said(r.patches.map(nameOf)) : `patch${r.patches.length > 1 ? "es" : ""} ${said(r.patches.map(String))}`);
  $("formula").textContent = roots.length ? `For this network, each of these alone keeps more than ${Math.round(100 * record.threshold)} % of its confidence in “${record.title}”: ${each.join("; or ")}.`
    : `No explanation: ${record.why}.`;
  $("dnf").textContent = record.dnf;
  if (proven < roots.length) $("roots-note").textContent = "Each is enough by itself. No part of it is, where it is proven minimal; of the others it is only known that no single patch can go. Point at one to see its patches light up; click to start asking from it.";
  $("roots-part").hidden = $("graph-part").hidden = !roots.length;
  const counts = record.evaluations, spent = record.seconds.total ?? Object.values(record.seconds).reduce((a, b) => a + b, 0);
  const facts = {"Network": `${record.model.name}, ${record.model.classes} classes`, [regions ? "Regions" : "Patches"]: regions ? `${patches}` : `${rows} × ${columns}`,
    "Hidden patches": `${record.baseline.name}; with all hidden, probability ${record.baseline.probability.toFixed(4)}`,
    "Search": `${record.search.method}, stopped by ${record.search.stopped_by.replaceAll("_", " ")}${record.search.complete ? "" : " (incomplete)"}`,
    "Sets": `${counts.asked} asked about, ${counts.scored} scored by the search`, "Time": `${spent.toFixed(1)} s`};
  if (record.sag.stopped_by) facts["Graph"] = `incomplete: ${record.sag.stopped_by.replaceAll("_", " ")}`;
  for (const [name, value] of Object.entries(facts)) $("facts").append(element("dt", {textContent: name}), element("dd", {textContent: value}));
}

async function start() {
  const [image, baseline] = await Promise.all([loaded(IMAGE), loaded(BASELINE)]);
  const map = regions && await loaded(`data:image/png;base64,${regions.map}`);
  for (const w of [width, THUMB]) {
    const h = Math.round(w * height / width);
    sources[w] = {image: pixels(image, w, h), baseline: pixels(baseline, w, h), across: axis(columns, w), down: axis(rows, h), region: map && regionsAt(map, w, h)};
  }
  Object.assign($("view"), {width, height});
  document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
  makeWords();
  makeGrid();
  update();
  makeRoots();
  makeNeeded();
  if (record.roots.length) {
    makeGraph();
    drawGraph();
    $("scroll").scrollLeft = ($("scroll").scrollWidth - $("scroll").clientWidth) / 2;
  }
  $("show-all").addEventListener("click", () => choose(everything));
  $("hide-all").addEventListener("click", () => choose([]));
  $("invert").addEventListener("click", () => choose(everything.filter(p => !chosen.has(p))));
  $("as-seen").addEventListener("change", update);
  addEventListener("beforeprint", fitToPaper);
  addEventListener("afterprint", () => { $("graph").style.width = ""; });
  $("figures-part").hidden = !$("figures").children.length;
  $("numbers").addEventListener("change", event => $("grid").classList.toggle("plain", !event.target.checked));
  document.body.dataset.ready = "yes";
}
start();
