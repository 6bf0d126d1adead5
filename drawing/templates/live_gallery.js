"use strict";
// The served gallery: a photo is dropped in, explained by the main job, and shown when it is done.
{
const known = JSON.parse(document.getElementById("live-values").textContent), api = `${known.root}api/jobs`, POLL = 700;
const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };
const choice = (id, words, values) => make("label", {}, words, make("select", {id}, ...values.map(([value, text]) => make("option", {value, textContent: text}))));
const same = values => values.map(value => [value, value]);

const file = make("input", {type: "file", id: "photo-file", accept: "image/jpeg,image/png,image/bmp,image/webp"});
const button = make("button", {type: "submit", textContent: "Explain it"});
const said = make("p", {id: "photo-said"});
const form = make("form", {id: "photo"}, make("h2", {textContent: "Your photo"}),
  make("p", {textContent: "Drop it here, or choose a file. It stays on this machine."}),
  make("label", {}, "Photo", file),
  make("label", {}, "Class (name or number)", make("input", {id: "category", type: "text", placeholder: "the most probable", autocomplete: "off"})),
  choice("network", "Network", known.networks.map((name, number) => [number, name])),
  choice("search", "Search", same(known.searches)), choice("baseline", "Baseline", same(known.baselines)), button, said);
form.setAttribute("aria-label", "Explain a photo");
said.setAttribute("role", "status");
const jobs = make("ul", {className: "jobs", id: "jobs"}), announced = make("p", {id: "announced", role: "status"});
jobs.setAttribute("aria-label", "Photos");
announced.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)";
document.querySelector("h1").after(form, announced, jobs);

let timer = null;
const states = new Map();

async function talk(address, options = {}) {
  const answer = await fetch(address, options).catch(() => { throw new Error("the server has ended"); });
  const content = await answer.json().catch(() => ({error: `the server answers ${answer.status}`}));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

async function submit(photo) {
  if (!photo) { complain("choose a photo first"); return; }
  const chosen = new URLSearchParams({name: photo.name});
  for (const id of ["category", "network", "search", "baseline"]) chosen.set(id, document.getElementById(id).value);
  button.disabled = true;
  tell(`Sending ${photo.name} …`);
  try {
    const job = await talk(`${api}?${chosen}`, {method: "POST", headers: {"Content-Type": "application/octet-stream"}, body: photo});
    tell(`${job.name} is queued.`);
    file.value = "";
  } catch (error) { complain(error.message); }
  button.disabled = false;
  await refresh();
  if (said.className !== "bad") jobs.scrollIntoView({block: "nearest"});   // on a phone it is below the form
}

function tell(text) { said.className = ""; said.textContent = text; }
function complain(text) { said.className = "bad"; said.textContent = `Not accepted: ${text}`; }

form.addEventListener("submit", event => { event.preventDefault(); submit(file.files[0]); });
for (const name of ["dragenter", "dragover"]) addEventListener(name, event => { event.preventDefault(); form.classList.add("over"); });
for (const name of ["dragleave", "drop"]) addEventListener(name, event => { event.preventDefault(); form.classList.remove("over"); });
addEventListener("drop", event => submit(event.dataTransfer.files[0]));

// ------------------------------------------------------------ jobs

async function refresh() {
  clearTimeout(timer);
  let found;
  try { found = (await talk(api)).jobs; } catch (error) { complain(error.message); return; }
  const changed = found.filter(job => states.has(job.number) && states.get(job.number) !== job.state);
  if (changed.length) announced.textContent = changed.map(job => `${job.name}: ${wordsOf(job)}`).join("; ");
  for (const job of found) states.set(job.number, job.state);
  for (const job of [...found].reverse()) show(job);
  if (found.some(job => job.state === "waiting" || job.state === "running" || job.line === "stopping")) timer = setTimeout(refresh, POLL);
  else if (said.className !== "bad") tell("");
}

const wordsOf = job => ({waiting: "waiting", running: job.line || "running", done: "done", failed: `failed: ${job.line}`, stopped: job.line})[job.state];

function show(job) {
  let item = document.getElementById(`job-${job.number}`);
  if (!item) {
    item = make("li", {id: `job-${job.number}`}, make("strong", {textContent: job.name}), make("span", {className: "line"}), make("span", {className: "more"}));
    jobs.prepend(item);
  }
  item.dataset.state = job.state;
  const line = item.querySelector(".line"), more = item.querySelector(".more");
  line.textContent = wordsOf(job);
  line.classList.toggle("bad", job.state === "failed");
  const open = job.state === "waiting" || job.state === "running", kind = open ? "stop" : job.state === "done" ? "link" : "";
  if (more.dataset.kind === kind) return;
  more.dataset.kind = kind;
  more.replaceChildren();
  if (kind === "link") more.append(make("a", {href: `${known.root}results/${job.folder.split("/").map(encodeURIComponent).join("/")}/sag.html`, textContent: `Open ${job.name}`}));
  if (kind === "stop") {
    const stop = make("button", {type: "button", textContent: "Stop"});
    stop.setAttribute("aria-label", `Stop ${job.name}`);
    stop.addEventListener("click", () => talk(`${api}/${job.number}`, {method: "DELETE"}).then(refresh, error => complain(error.message)));
    more.append(stop);
  }
}
refresh();
document.body.dataset.live = "yes";
}
