"use strict";

const state = { model: null, signatures: [], history: [], places: new Map(), asked: 0 };
const $ = (id) => document.getElementById(id);

async function getJson(path) {
  const answer = await fetch(path);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

// Sends one history in columns, as any client of TensorFlow Serving can.
async function predict(signature, inputs) {
  const answer = await fetch(`v1/models/${encodeURIComponent(state.model.name)}:predict`, {
    method: "POST",
    body: JSON.stringify({ signature_name: signature, inputs }),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content.outputs;
}

function historyInputs() {
  return {
    items: [state.history.map(([item]) => item)],
    behaviors: [state.history.map(([, behavior]) => behavior)],
  };
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bar(part, text) {
  const cell = element("td", text, "bar");
  cell.style.setProperty("--part", `${Math.round(100 * Math.min(1, Math.max(0, part)))}%`);
  return cell;
}

function percent(value) {
  return `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
}

function showHistory() {
  $("events").replaceChildren(
    ...state.history.map(([item, behavior], place) => {
      const line = element("li", `${item} · ${behavior} `);
      const remove = element("button", "×");
      remove.type = "button";
      remove.setAttribute("aria-label", `remove ${behavior} of ${item}`);
      remove.onclick = () => change(state.history.filter((_, other) => other !== place));
      line.append(remove);
      return line;
    }),
  );
  $("empty").hidden = state.history.length > 0;
}

function showAnswer(items, scores, behaviors, reasons) {
  const highest = Math.max(...scores);
  const lowest = Math.min(...scores);
  const rows = items.map((item, place) => {
    const row = document.createElement("tr");
    const before = state.places.get(item);
    const change = state.places.size === 0 ? "" : before === undefined ? "new" : String(before);
    row.append(
      element("td", String(place + 1)),
      element("td", item),
      bar((scores[place] - lowest) / (highest - lowest || 1), scores[place].toFixed(2)),
    );
    if (behaviors) row.append(element("td", behaviors[place]));
    if (reasons) row.append(element("td", reasons[place]));
    row.append(element("td", change));
    return row;
  });
  $("will").hidden = !behaviors;
  $("because").hidden = !reasons;
  $("answer").tBodies[0].replaceChildren(...rows);
  state.places = new Map(items.map((item, place) => [item, place + 1]));
}

function showWhy(told) {
  const names = state.model.behaviors;
  const columns = [];
  if (told.indicators) {
    names.forEach((name, k) =>
      columns.push([`${name} so far`, (t) => element("td", String(told.indicators[0][t][k]), "number")]),
    );
  }
  for (const [output, title] of [
    ["behavior_attention", "attention within its behaviour"],
    ["sequence_attention", "attention overall"],
  ]) {
    if (told[output]) {
      columns.push([title, (t) => bar(told[output][0][t], percent(told[output][0][t]))]);
    }
  }
  const head = document.createElement("tr");
  for (const title of ["item", "behaviour", ...columns.map(([title]) => title)]) {
    head.append(element("th", title));
  }
  const rows = [];
  for (let t = told.items[0].length - 1; t >= 0; t--) {
    if (!told.items[0][t]) continue;
    const row = document.createElement("tr");
    row.append(element("td", told.items[0][t]), element("td", told.behaviors[0][t]));
    row.append(...columns.map(([, cell]) => cell(t)));
    rows.push(row);
  }
  $("seen").tHead.replaceChildren(head);
  $("seen").tBodies[0].replaceChildren(...rows);
  $("why").hidden = rows.length === 0;
}

async function willDo(items) {
  const told = await predict("behavior", { ...historyInputs(), candidates: [items] });
  return told.probabilities[0].map((row) => {
    const best = row.indexOf(Math.max(...row));
    return `${told.names[0][best]} (${percent(row[best])})`;
  });
}

// In the words of `hmar recommend --explain`.
function words(told, place) {
  const [kind, item, behavior, ago] = ["kinds", "items", "behaviors", "ago"].map((name) => told[name][0][place]);
  if (kind === "together") return `goes with ${item} (${behavior})`;
  if (kind !== "touched") return kind === "popularity" ? "popular" : "the model's network";
  const counts = told.names[0].map((name, k) => [name, told.counts[0][place][k]]);
  const done = counts.filter(([, n]) => n > 0).map(([name, n]) => (n > 1 ? `${name} x${n}` : name));
  const when = ago > 0 ? `last ${ago} event${ago > 1 ? "s" : ""} ago` : "the newest event";
  return `you: ${done.join(", ")}, ${when}`;
}

async function because(items) {
  const told = await predict("reasons", { ...historyInputs(), candidates: [items] });
  return items.map((_, place) => words(told, place));
}

async function ask() {
  const number = ++state.asked;
  showHistory();
  location.replace(`#${encodeURIComponent(JSON.stringify(state.history))}`);
  try {
    const answer = await predict("recommend", {
      ...historyInputs(),
      k: [Math.min(100, Math.max(1, Number($("k").value) || 10))],
      exclude_seen: [$("exclude").checked],
    });
    const items = answer.items[0].filter((item) => item !== "");
    const does = (name) => state.signatures.includes(name) && state.history.length > 0;
    const behaviors = does("behavior") && items.length ? await willDo(items) : null;
    const reasons = does("reasons") && items.length ? await because(items) : null;
    const told = does("explain") ? await predict("explain", historyInputs()) : null;
    if (number !== state.asked) return; // a newer request is under way
    showAnswer(items, answer.scores[0].slice(0, items.length), behaviors, reasons);
    if (told) showWhy(told);
    else $("why").hidden = true;
    $("unknown").hidden = answer.unknown[0] === 0;
    $("unknown").textContent = `The model does not know ${answer.unknown[0]} of these events.`;
    $("error").hidden = true;
    document.body.dataset.answered = number;
  } catch (error) {
    $("error").textContent = error.message;
    $("error").hidden = false;
  }
}

function change(history) {
  state.history = history;
  return ask();
}

async function suggest() {
  const found = await getJson(`catalogue?begins=${encodeURIComponent($("item").value)}`);
  $("items").replaceChildren(
    ...found.items.map((item) => {
      const option = document.createElement("option");
      option.value = item;
      return option;
    }),
  );
}

function fromAddress() {
  try {
    const history = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return history.map(([item, behavior]) => [String(item), String(behavior)]);
  } catch {
    return [];
  }
}

async function begin() {
  state.model = await getJson("model");
  const told = await getJson(`v1/models/${encodeURIComponent(state.model.name)}/metadata`);
  state.signatures = Object.keys(told.metadata.signature_def.signature_def);
  document.title = `${state.model.name} · hmar serve`;
  $("name").textContent = state.model.name;
  $("version").textContent = `version ${state.model.version}, ${state.model.items} items`;
  $("behavior").replaceChildren(...state.model.behaviors.map((name) => element("option", name)));
  $("example").hidden = state.model.examples.length === 0;
  $("add").onsubmit = (event) => {
    event.preventDefault();
    change([...state.history, [$("item").value.trim(), $("behavior").value]]);
    $("item").value = "";
    $("item").focus();
  };
  let shown = 0;
  $("example").onclick = () => change(state.model.examples[shown++ % state.model.examples.length]);
  $("clear").onclick = () => change([]);
  $("k").onchange = $("exclude").onchange = ask;
  $("item").oninput = () => suggest().catch(() => {});
  await suggest();
  await change(fromAddress());
}

begin().catch((error) => {
  $("error").textContent = error.message;
  $("error").hidden = false;
});
