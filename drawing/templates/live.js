"use strict";
// The served page: a set that the table lacks is shown to the record's network, and its answer is exact.
// Two functions of sag.js are wrapped: lookUp (what is known of a set) and update (what is shown of the chosen one).
const served = JSON.parse($("live-values").textContent), answers = new Map(), asking = new Set();
const lookUpSaved = lookUp, updateSaved = update;
let trouble = "", network = "";                         // why the network does not answer; its name once it is loaded

const hexOf = set => set.reduce((sum, p) => sum + (1n << BigInt(p)), 0n).toString(16);

async function post(name, values) {
  const answer = await fetch(`${served.root}api/${name}`, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({folder: served.folder, ...values})})
    .catch(() => { throw new Error("the server has ended; this page goes on with what it has"); });
  const content = await answer.json().catch(() => ({error: `the server answers ${answer.status}`}));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

lookUp = set => {
  const known = lookUpSaved(set), answer = answers.get(hexOf(set));
  return known.exact === null && answer !== undefined ? {...known, exact: answer} : known;
};

update = () => {
  const set = chosenSet(), key = hexOf(set), known = lookUp(set).exact !== null;
  updateSaved();
  if (answers.has(key)) $("verdict").textContent = $("verdict").textContent.replace("This very set was scored.", "The network was asked.");
  $("answer").setAttribute("aria-busy", !known && !trouble);  // a screen reader waits for the answer
  if (!known) ask(key);
  nameFind();
};

// Asks the network about the chosen set. Of clicks that come faster than answers, only the last one is asked about.
let running = false;
async function ask(key) {
  asking.clear();
  asking.add(key);
  if (running) return;
  running = true;
  while (asking.size) {
    const [next] = asking, start = performance.now();
    asking.clear();
    try {
      const {probabilities: [probability]} = await post("score", {sets: [next]});
      answers.set(next, probability);
      say(`Answered in ${Math.round(performance.now() - start)} ms.`);
    } catch (error) { fail(error); break; }
    if (hexOf(chosenSet()) === next) update();
  }
  running = false;
}

// ------------------------------------------------------------ find me

const find = element("button", {type: "button", className: "tool", id: "find"}), result = element("p", {id: "find-result"});
result.setAttribute("role", "status");

function nameFind() {
  const exact = lookUp(chosenSet()).exact;
  find.disabled = exact === null || find.dataset.busy === "yes";
  if (exact !== null) find.textContent = sufficient(exact) ? "Find the least that loses the class" : "Find the least that keeps the class";
}

const listed = set => `${set.length} ${set.length === 1 ? one : many}: ${said(set.map(nameOf))}`;

function inWords({found, keeps, asked}) {
  const goal = keeps ? "kept" : "lost";
  if (!found) return `Nothing was found after which the class is ${goal} (${asked} sets asked).`;
  const steps = [found.added.length ? `show ${listed(found.added)}` : "", found.removed.length ? `hide ${listed(found.removed)}` : ""].filter(Boolean).join("; ");
  const sure = found.is_least ? "No smaller change does it." : found.is_minimal ? "No part of it is enough; a smaller change may exist." : "A smaller change may exist.";
  return `${steps[0].toUpperCase()}${steps.slice(1)}. Then the class is ${goal}: ${percent(found.probability)}, asked. ${sure} (${asked} sets)`;
}

find.addEventListener("click", async () => {
  const start = chosenSet();
  find.dataset.busy = "yes";
  find.disabled = true;
  result.textContent = "Asking the network about up to 200 sets …";
  try {
    const answer = await post("find", {set: hexOf(start)});
    result.replaceChildren(inWords(answer));
    if (answer.found) {
      const {added, removed, probability} = answer.found, gone = new Set(removed), more = new Set(added);
      const target = everything.filter(p => more.has(p) || (start.includes(p) && !gone.has(p)));
      answers.set(hexOf(target), probability);
      const show = element("button", {type: "button", className: "tool", textContent: "Show it"});
      show.addEventListener("click", () => { choose(target); find.focus(); });
      light(show, target);
      result.append(" ", show);
    }
  } catch (error) { result.textContent = ""; fail(error); }
  find.dataset.busy = "";
  nameFind();
});

// ------------------------------------------------------------ how it is

const state = element("p", {id: "live-state", className: "note"}), told = element("span"), took = element("span");
told.setAttribute("role", "status");
state.append(told, " ", took);

function say(text) {
  trouble = "";
  state.className = "note";
  tell(network ? `Live: ${network} answers every set.` : text);
  took.textContent = network ? text : "";
}

// What is said again and again is announced once; how long an answer took is not announced.
function tell(text) {
  if (told.textContent !== text) told.textContent = text;
}

function fail(error) {
  trouble = error.message;
  state.className = "bad";
  tell(`Not live: ${error.message}`);
  took.textContent = "";
  $("answer").setAttribute("aria-busy", false);
}

async function openNetwork() {
  say("Loading the network …");
  try {
    ({network} = await post("open", {}));
    say("");
    update();
  } catch (error) { fail(error); }
}

document.querySelector("header").prepend(element("a", {className: "back", href: `${served.root}results/index.html`, textContent: "All images"}));
$("near").before(element("div", {className: "live"}, state, element("div", {className: "row"}, find), result));
nameFind();
openNetwork();
