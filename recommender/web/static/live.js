"use strict";
// The live page. Whatever comes from the worker becomes text, never markup; nothing is asked of anybody else.

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const brief = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const percent = (share) => `${brief.format(share * 100)}%`;
const state = { people: false, scale: null, token: "", user: null, series: null, charts: [], level: "", places: new Map(), titles: new Map() };

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function show(id, text) {
  const at = byId(id);
  if (at.textContent !== text) at.textContent = text;
}

function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < 3) { count /= 1024; unit += 1; }
  return `${brief.format(count)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= 2 * size) return `${whole.format(seconds / size)} ${name}`;
  return `${whole.format(seconds)} s`;
}

// Charts: ten minutes, redrawn once a second.

const PLOTS = [
  ["ratings", 1, "--accent", "Ratings learned a second"],
  ["lag", 2, "--second", "Seconds behind"],
  ["replies", 3, "--accent", "Replies a second"],
  ["most", 4, "--second", "Milliseconds within which 99 of 100 replies come"],
];
const KEPT = 600;
const REASONS = 3;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawCharts() {
  for (const chart of state.charts) chart.destroy();
  const axis = { stroke: colour("--soft"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("--line"), width: 1 };
  state.charts = PLOTS.map(([name, column, ink]) => {
    const at = byId(`plot-${name}`);
    at.replaceChildren();
    return new uPlot({
      width: at.clientWidth, height: at.clientHeight, legend: { show: false }, cursor: { show: false },
      padding: [6, 4, 6, 0],
      // Always ten minutes, so that all charts, and those of a worker that has just started, are read in the same way.
      scales: { x: { time: true, range: (self, low, high) => [(high ?? 0) - KEPT, high ?? 0] }, y: { range: (self, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [
        { show: false },
        { ...axis, grid, size: 38, gap: 4, space: 34, values: (self, ticks) => ticks.map(short) },
      ],
      series: [{}, { stroke: colour(ink), width: 1.5, fill: name === "ratings" || name === "replies" ? colour("--fill") : undefined, points: { show: false }, spanGaps: false }],
    }, [state.series[0], state.series[column]], at);
  });
}

function short(value) {
  if (value >= 1e6) return `${brief.format(value / 1e6)}M`;
  if (value >= 1e3) return `${brief.format(value / 1e3)}k`;
  return brief.format(value);
}

function addPoint(point) {
  state.series.forEach((column, place) => {
    column.push(point[place]);
    if (column.length > KEPT) column.shift();
  });
  state.charts.forEach((chart, place) => chart.setData([state.series[0], state.series[PLOTS[place][1]]]));
  for (const [name, column, , label] of PLOTS) {
    const value = point[column];
    const units = { lag: " s", most: " ms" };
    const now = value === null || value === undefined ? "–" : name in units ? brief.format(value) + units[name] : whole.format(value);
    show(`now-${name}`, now);
    byId(`plot-${name}`).setAttribute("aria-label", `${label}, the last ten minutes: now ${now}`);
  }
}

// What comes once a second.

function showVerdict(told) {
  const { level, says } = told.verdict;
  byId("verdict").dataset.level = level;
  show("says", says);
  document.title = level === "ok" ? "Recommender" : `${level === "failing" ? "✗" : "!"} Recommender`;
  if (level !== state.level) {
    show("spoken", says); // only what changes is spoken, not each second's figures
    state.level = level;
  }
  const bad = told.checks.filter((each) => each.level !== "ok").length;
  show("checked", bad ? `${told.checks.length} checks, ${bad} of them not well` : `${told.checks.length} checks, all well`);
  fill("checks", told.checks, (each) => each.name, () => {
    const row = element("li");
    row.append(element("b"), element("span"), element("span"));
    return row;
  }, (row, each) => {
    row.dataset.level = each.level;
    const words = { ok: "well", warning: "warning", failing: "failing" };
    [words[each.level], each.name, each.says].forEach((text, place) => set(row.children[place], text));
  });
}

function set(at, text) {
  if (at.textContent !== text) at.textContent = text;
}

// Rows are kept and changed in place, so that whoever selects text or moves through a table is not disturbed.
function fill(id, values, key, make, change) {
  const list = byId(id);
  const known = new Map([...list.children].map((each) => [each.dataset.key, each]));
  let before = null;
  for (const value of values) {
    const name = String(key(value));
    let row = known.get(name);
    if (!row) { row = make(value); row.dataset.key = name; row.classList.add("entering"); }
    known.delete(name);
    change(row, value);
    const next = before ? before.nextSibling : list.firstChild;
    if (row !== next) list.insertBefore(row, next);
    before = row;
  }
  for (const row of known.values()) row.remove();
}

// A row's cells, each with its column's name, which narrow screens show instead of the head.
function cells(id) {
  const names = [...byId(id).closest("table").querySelectorAll("th")].map((each) => each.textContent);
  return () => {
    const row = element("tr");
    row.append(...names.map((name) => element("td", null, { "data-label": name })));
    return row;
  };
}

function showTables(told) {
  fill("journal", told.journal, (each) => each.partition, cells("journal"), (row, each) => {
    const saved = each.saved === null ? "none yet" : `${duration(each.saved_ago)} ago, at ${whole.format(each.saved)}`;
    [each.partition, whole.format(each.position), each.caught_up ? whole.format(each.lag) : `${whole.format(each.lag)}, at first`,
      whole.format(each.users), whole.format(each.items), whole.format(each.events), saved, bytes(each.bytes)]
      .forEach((text, place) => set(row.children[place], String(text)));
  });
  fill("sources", told.sources, (each) => `${each.topic}[${each.partition}]`, cells("sources"), (row, each) => {
    const waiting = each.lag === null ? "read elsewhere" : each.lag && each.lag_seconds >= 1 ? `${whole.format(each.lag)}, ${duration(each.lag_seconds)}` : whole.format(each.lag);
    [`${each.topic}[${each.partition}]`, whole.format(each.learned), waiting].forEach((text, place) => set(row.children[place], text));
  });
  for (const name of ["learned", "skipped", "rejected"]) show(`count-${name}`, whole.format(told.counts[name]));
  const topics = Object.entries(told.topics);
  byId("topics-part").hidden = !topics.length;
  fill("topics", topics, ([name]) => name, cells("topics"), (row, [name, counts]) => {
    [name, whole.format(counts.learned), reasons(counts.skipped), reasons(counts.rejected)].forEach((text, place) => set(row.children[place], text));
  });
  byId("no-letters").hidden = told.letters.length > 0;
  fill("letters", told.letters, (each) => `${each.place} ${each.says}`, () => {
    const row = element("li");
    row.append(element("b"), element("span"), element("br"), element("span"));
    return row;
  }, (row, each) => {
    set(row.children[0], each.place);
    set(row.children[1], `, ${duration(each.ago)} ago`);
    set(row.children[3], each.says);
  });
  show("memory", `${bytes(told.figures.memory)} of memory, up for ${duration(told.figures.up)}.`);
  show("model", told.model);
}

function reasons(counts) {
  const found = Object.entries(counts);
  const total = found.reduce((sum, [, count]) => sum + count, 0);
  return total ? `${whole.format(total)}: ${found.map(([reason, count]) => `${reason} ${whole.format(count)}`).join(", ")}` : "0";
}

function showQuality(told) {
  const [first] = told.quality;
  if (!first || !first.tests) {
    show("good-says", "Nothing was tested yet: some of the positive ratings are tested just before they are learned.");
    byId("bars").replaceChildren();
    byId("good-lines").hidden = true;
    return;
  }
  const best = first.arms[0];
  show("good-says", `Of ${whole.format(first.tests)} positive ratings, tested just before they were learned, ${percent(best.recall)} were among the ${first.top} items that would have been recommended; the ${first.top} most popular items had ${percent(first.popular.recall)}.`);
  byId("good-lines").hidden = false;
  const rows = [
    ...first.arms.map((each) => ({ ...each, label: first.arms.length > 1 ? `${each.name}, ${percent(each.share)} of the users` : each.name, kind: "arm" })),
    { ...first.popular, label: "most popular items", kind: "popular" },
  ];
  const most = Math.max(0.05, ...rows.map((each) => each.high));
  fill("bars", rows, (each) => `${each.kind} ${each.name}`, (each) => {
    const row = element("li", null, { class: each.kind });
    row.append(element("span"), element("b"), bar());
    return row;
  }, (row, each) => {
    set(row.children[0], each.label);
    set(row.children[1], percent(each.recall));
    const [, fore, whisker] = row.children[2].children;
    fore.setAttribute("width", (100 * each.recall) / most);
    whisker.setAttribute("x1", (100 * each.low) / most);
    whisker.setAttribute("x2", (100 * each.high) / most);
    row.title = `19 times in 20 between ${percent(each.low)} and ${percent(each.high)}`;
  });
}

function bar() {
  const made = (tag, attributes) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    return part;
  };
  const picture = made("svg", { viewBox: "0 0 100 18", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(made("rect", { class: "track", width: 100, height: 10, y: 4, rx: 1 }),
    made("rect", { class: "bar", width: 0, height: 10, y: 4, rx: 1 }),
    made("line", { class: "whisker", x1: 0, x2: 0, y1: 9, y2: 9, "vector-effect": "non-scaling-stroke" }));
  return picture;
}

function showPeople(told) {
  if (!told.just_now) return;
  const rated = (each) => (each.rating === null ? "took back" : `rated ${brief.format(each.rating)}:`);
  const line = () => {
    const row = element("li");
    row.append(element("b"), element("span"));
    return row;
  };
  learnTitles(told.just_now.ratings);
  for (const each of told.just_now.answers) learnTitles(each.items);
  fill("just-ratings", told.just_now.ratings, (each) => each.id, line, (row, each) => {
    set(row.children[0], each.user);
    set(row.children[1], ` ${rated(each)} ${title(each.item)}`);
  });
  fill("just-answers", told.just_now.answers, (each) => each.id, line, (row, each) => {
    set(row.children[0], each.user === null ? "similar items" : each.user);
    set(row.children[1], `: ${each.items.map((found) => title(found.item)).join(", ") || "nothing"}`);
  });
  if (told.examples.length && !byId("examples").children.length) offer(told.examples);
}

function offer(users) {
  byId("examples").replaceChildren(...users.map((user) => {
    const chip = element("button", user, { type: "button" });
    chip.addEventListener("click", () => {
      byId("kind").value = "user";
      byId("who").value = user;
      ask(user);
    });
    return chip;
  }));
}

// Try it.

// Titles come with whatever names an item; what has none is called by its id.
const title = (item) => state.titles.get(item) ?? item;

function learnTitles(items) {
  for (const each of items) if (each.title) state.titles.set(each.item, each.title);
}

async function call(path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  byId("unlock").hidden = answer.status !== 401;
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error?.message ?? told.error ?? `the worker answers with ${answer.status}`);
  return told;
}

function say(text, level = "ok") {
  const at = byId("said");
  at.dataset.level = level;
  set(at, text);
}

async function askSimilar(name) {
  state.user = null;
  try {
    const found = await call(`/live/items?part=${encodeURIComponent(name)}`); // whoever types a title means its item
    learnTitles(found);
    const named = found.find((each) => each.item === name) ?? found.find((each) => title(each.item).toLowerCase() === name.toLowerCase()) ?? found[0];
    const item = named ? named.item : name;
    const answer = await call(`/items/${encodeURIComponent(item)}/similar?n=10&titles=true`);
    learnTitles(answer.items);
    if (state.user !== null) return;
    say("");
    byId("list").replaceChildren(); // rows to rate belong to a user
    byId("liked-half").hidden = true;
    showList(answer.items, false);
    show("list-title", answer.items.length ? `Most like ${title(item)}` : `Nothing is like ${title(item)} yet`);
    byId("result").hidden = false;
  } catch (error) {
    say(`That did not work: ${error.message}`, "failing");
  }
}

async function ask(user, after) {
  if (state.user === null) byId("list").replaceChildren();
  state.user = user;
  const request = { user, n: 10, explain: true, titles: true, ...(after ? { after } : {}), ...chosen() };
  try {
    const answer = await call("/recommend", request);
    const history = await call(`/live/history?user=${encodeURIComponent(user)}`);
    learnTitles(answer.items);
    learnTitles(history.ratings);
    if (state.user !== user) return; // somebody else was asked for meanwhile
    const who = history.known ? `${user} has rated ${whole.format(history.count)} items.` : `Nobody knows ${user} yet: these are what anybody new gets.`;
    if (!after) say(who);
    byId("liked-half").hidden = false;
    showHistory(history);
    showList(answer.items, Boolean(after), answer.fewer);
    byId("result").hidden = false;
  } catch (error) {
    say(`That did not work: ${error.message}`, "failing");
  }
}

function showHistory(history) {
  show("liked-title", history.count ? `Rated ${whole.format(history.count)}, newest first` : "Rated nothing yet");
  fill("liked", history.ratings, (each) => each.item, () => {
    const row = element("li");
    row.append(element("span", null, { class: "name" }), element("span", null, { class: "given" }));
    return row;
  }, (row, each) => {
    set(row.children[0], title(each.item));
    set(row.children[1], brief.format(each.rating));
  });
}

function chosen() {
  const category = byId("category").value;
  return category ? { categories: [category] } : {};
}

function showList(items, again, fewer) {
  const most = Math.max(...items.map((each) => each.score), 0);
  const before = state.places;
  state.places = new Map(items.map((each, place) => [each.item, place]));
  show("list-title", items.length ? `Recommended, the best ${items.length}` : fewer ? `Nothing: ${fewer}` : "There is nothing to recommend yet");
  fill("list", items, (each) => each.item, row, (made, each) => {
    const place = state.places.get(each.item);
    set(made.children[0].children[0], `${place + 1}. ${title(each.item)}`);
    const mark = made.children[0].children[1];
    const fresh = again && !before.has(each.item);
    mark.hidden = !fresh && each.source === "exploit";
    mark.className = fresh ? "mark new" : "mark";
    set(mark, fresh ? "new" : each.source === "explore" ? "by chance" : "");
    made.classList.toggle("moved", again && before.has(each.item) && before.get(each.item) !== place);
    const score = made.children[2];
    score.value = most > 0 ? Math.max(0, each.score / most) : 0;
    score.setAttribute("aria-label", `score ${brief.format(each.score)}`);
    set(made.children[3], `score ${brief.format(each.score)}${because(each.because ?? [])}`);
  });
}

function because(reasons) {
  if (!reasons.length) return "";
  const named = reasons.slice(0, REASONS).map((reason) => title(reason.item)).join(", ");
  const more = reasons.length - REASONS;
  return `, because of ${named}${more > 0 ? ` and ${more} more` : ""}`;
}

function row(each) {
  const made = element("li");
  const name = element("span", null, { class: "name" });
  name.append(element("span"), element("span", null, { class: "mark" }));
  made.append(name, state.user === null ? element("span") : rating(each.item), element("progress", null, { class: "score", max: "1" }), element("p", null, { class: "why" }));
  return made;
}

function steps() {
  const { kind, low, high } = state.scale;
  if (kind === "signed") return [[-1, "No"], [1, "Yes"]];
  const first = Math.ceil(low), last = Math.floor(high);
  const count = Math.min(5, last - first + 1);
  const found = Array.from({ length: count }, (_, place) => Math.round(first + (place * (last - first)) / Math.max(1, count - 1)));
  return [...new Set(found)].map((value) => [value, String(value)]);
}

function rating(item) {
  const group = element("div", null, { class: "rate", role: "group", "aria-label": `Rate ${title(item)}` });
  for (const [value, label] of steps()) {
    const button = element("button", label, { type: "button", "aria-label": `Rate ${title(item)} with ${label}` });
    button.addEventListener("click", () => rate(item, value, group));
    group.append(button);
  }
  return group;
}

async function rate(item, value, group) {
  const user = state.user;
  for (const each of group.children) each.disabled = true;
  try {
    const answer = await call("/ratings", { user, item, rating: value });
    const [written] = answer.written;
    say(`${user} rated ${title(item)} with ${value}. The list is the one after that rating.`);
    const hadFocus = group.contains(document.activeElement);
    await ask(user, { partition: written.partition, offset: written.offset });
    if (hadFocus || document.activeElement === document.body) byId("list").querySelector("button")?.focus();
  } catch (error) {
    say(`That did not work: ${error.message}`, "failing");
  } finally {
    for (const each of group.children) each.disabled = false;
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const who = byId("who").value.trim();
  if (!who) return;
  if (byId("kind").value === "item") askSimilar(who);
  else ask(who);
});
// Items are found by a part of their title while it is typed.
let typing = 0;
byId("who").addEventListener("input", () => {
  clearTimeout(typing);
  if (byId("kind").value === "item") typing = setTimeout(suggest, 150);
});

byId("kind").addEventListener("change", () => byId("found").replaceChildren());
byId("category").addEventListener("change", () => { if (state.user !== null) ask(state.user); });

async function suggest() {
  const found = await call(`/live/items?part=${encodeURIComponent(byId("who").value)}`).catch(() => []);
  learnTitles(found);
  byId("found").replaceChildren(...found.map((each) => element("option", title(each.item), { value: each.item })));
}

byId("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = byId("token").value;
  byId("token").value = "";
  byId("unlock").hidden = true;
  if (state.user) ask(state.user);
});

// The stream.

// What a worker did before it was started again is known only here: it stays, with a gap behind it.
function joined(before, series) {
  const from = series[0].length ? series[0][0] : Infinity;
  const kept = before ? before[0].filter((at) => at < from).length : 0;
  if (!kept) return series;
  return series.map((column, place) => {
    const gap = place ? null : before[0][kept - 1] + 1;
    return [...before[place].slice(0, kept), gap, ...column].slice(-KEPT);
  });
}

function begin(told) {
  state.people = told.people;
  state.scale = told.scale;
  const category = byId("category");
  category.hidden = !told.categories.length;
  category.replaceChildren(category.firstElementChild, ...told.categories.map((name) => element("option", name)));
  state.series = joined(state.series, told.series.length ? told.series : [[], [], [], [], []]);
  show("version", `version ${told.version}`);
  byId("just").hidden = !told.people;
  byId("ask").hidden = !told.people;
  if (!told.people) show("try-hint", "This worker shows no persons over the network. RECOMMENDER_WEB_PEOPLE says to whom it does.");
  drawCharts();
}

function connection(on) {
  byId("link").dataset.on = on ? "yes" : "no";
  byId("main").classList.toggle("stale", !on); // what is shown is what it was
  show("link", on ? "live" : "the worker does not answer, asking again");
  if (!on) {
    byId("verdict").dataset.level = "gone";
    show("says", "The worker does not answer. This page asks again every two seconds.");
    state.level = "gone";
    show("spoken", "The worker does not answer.");
  }
}

const stream = new EventSource("/live");
stream.addEventListener("start", (event) => begin(JSON.parse(event.data)));
stream.addEventListener("message", (event) => {
  const told = JSON.parse(event.data);
  connection(true);
  showVerdict(told);
  addPoint(told.point);
  showTables(told);
  showQuality(told);
  showPeople(told);
});
stream.addEventListener("error", () => connection(false));

const redraw = () => { if (state.series) drawCharts(); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });
