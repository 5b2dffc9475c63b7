// SPDX-License-Identifier: AGPL-3.0-or-later
// The web console: a client of the HTTP API like any other.  What comes from the
// server is shown as text only, and the text of an event as it is stored.
const PAGE = 100;
const KEPT_ROWS = 500;
const REFRESH_MS = 2000;
const main = document.querySelector("main");
let leave = new AbortController(); // ends what the page before was doing

// --- the API -----------------------------------------------------------------

const token = () => sessionStorage.getItem("token");

async function call(path, options = {}) {
  const headers = {Accept: "application/json", ...options.headers};
  if (token()) headers["x-session"] = token();
  const answer = await fetch(path, {signal: leave.signal, ...options, headers});
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const stranger = answer.status === 401 && !token();
  const error = new Error(stranger ? "Sign in to see this."
    : problem.reason || `${answer.status} ${answer.statusText}`);
  error.status = answer.status;
  error.lost = answer.status === 401 && token() && problem.type === "no-perm";
  throw error;
}

const json = async (path, options) => (await call(path, options)).json();
const post = (path, value) => json(path, {
  method: "POST",
  headers: {"Content-Type": "application/json"},
  body: typeof value === "string" ? value : JSON.stringify(value),
});
const streamPath = (bucket, stream) =>
  `/streams/${encodeURIComponent(bucket)}/${encodeURIComponent(stream)}`;

// An event or notice as one line of JSON: what stands behind "data" is not
// parsed, so no number loses a digit.  Quotes within strings are escaped, so
// the first '"data":' is the member's.
function takeEvent(text) {
  const value = JSON.parse(text);
  const at = text.indexOf('"data":');
  if (value.meta && at >= 0) value.text = text.slice(at + 7, -1);
  else if (value.meta) value.text = `${value.meta.type}: ${value.data64}`;
  return value;
}

// --- making a page -------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

const hashOf = (...words) => ["#/streams", ...words.map(encodeURIComponent)].join("/");
const number = n => make("td", {class: "number"}, n == null ? "" : n.toLocaleString());
const when = ms => make("time", {}, ms ? new Date(ms).toLocaleString() : "");
const link = (text, ...words) =>
  make("a", {href: hashOf(...words)}, text);

function table(heads, ...rows) {
  const body = make("tbody", {}, ...rows);
  const top = heads.map(h => make("th",
    {class: h.startsWith("#") ? "number" : h.toLowerCase()}, h.replace("#", "")));
  const e = make("table", {}, make("thead", {}, make("tr", {}, ...top)), body);
  e.rowsOf = body;
  return e;
}

function say(error) {
  const p = document.getElementById("error");
  if (error?.name === "AbortError") return;
  p.hidden = !error;
  p.textContent = error ? error.message : "";
}

const guarded = f => event => {
  event?.preventDefault();
  Promise.resolve(f(event)).then(() => say(), say);
};

// A list that asks for its next page, by the name after which it begins.
async function addPages(list, more, path, row) {
  let after = "";
  const next = async () => {
    const page = await json(`${path}limit=${PAGE}&after=${encodeURIComponent(after)}`);
    list.rowsOf.append(...page.data.map(row));
    const last = page.data.at(-1);
    after = last?.name ?? last;
    more.hidden = page.data.length < PAGE;
    if (page.missing) throw new Error(`${page.missing.length} partitions did not answer`);
  };
  more.onclick = guarded(next);
  await next();
}

// --- pages -----------------------------------------------------------------------

async function showBuckets() {
  const list = table(["Bucket"]);
  const more = make("button", {hidden: ""}, "More");
  const form = make("form", {class: "bar", onsubmit: guarded(() => {
    const [bucket, ...stream] = form.elements.name.value.split("/");
    location.hash = hashOf(...[bucket, stream.join("/")].filter(Boolean));
  })}, make("input", {name: "name", placeholder: "bucket, or bucket/stream", required: ""}),
    make("button", {}, "Open"));
  main.replaceChildren(make("h1", {}, "Buckets"), form, list, more);
  await addPages(list, more, "/buckets?", name =>
    make("tr", {}, make("td", {}, link(name, name))));
}

async function showBucket(bucket) {
  const list = table(["Stream", "#First", "#Last", "#Kept", "#Bytes", "Newest"]);
  const more = make("button", {hidden: ""}, "More");
  const load = () => {
    list.rowsOf.replaceChildren();
    return addPages(list, more, `/streams/${encodeURIComponent(bucket)}?detail=1&prefix=` +
      encodeURIComponent(form.elements.prefix.value) + "&", s =>
      make("tr", {}, make("td", {}, link(s.name, bucket, s.name)), number(s.first),
        number(s.last), number(s.count), number(s.bytes), make("td", {}, when(s.t))));
  };
  const form = make("form", {class: "bar", onsubmit: guarded(load)},
    make("input", {name: "prefix", placeholder: "begins with"}), make("button", {}, "Show"));
  main.replaceChildren(make("h1", {}, bucket), form, list, more);
  await load();
}

function eventRow(event) {
  if (event.notice)
    return make("tr", {class: "notice"}, make("td", {class: "number"}),
      make("td"), make("td", {}, event.notice + (event.first ? ` to ${event.first}` : "")));
  return make("tr", {}, make("td", {class: "number"}, String(event.meta.id)),
    make("td", {}, when(event.meta.t)), make("td", {}, make("pre", {}, event.text)));
}

// The newest PAGE events up to seqnum TO (0: of all), newest first.
async function eventsBefore(bucket, stream, to) {
  const range = to ? `&to=${to}` : "";
  const answer = await call(`${streamPath(bucket, stream)}?order=desc&limit=${PAGE}${range}`,
    {headers: {Accept: "application/x-ndjson"}});
  const lines = (await answer.text()).split("\n").filter(Boolean);
  return {events: lines.map(takeEvent), last: Number(answer.headers.get("Iorio-Last"))};
}

// Server-Sent Events by fetch, so that the token stands in a header, not in a URL.
async function follow(bucket, stream, from, signal, got) {
  const s = encodeURIComponent(`${bucket}:${stream}:${from}`);
  const headers = {Accept: "text/event-stream"};
  let pending = "";
  for (let id = ""; !signal.aborted; await new Promise(r => setTimeout(r, REFRESH_MS))) {
    try {
      if (id) headers["Last-Event-ID"] = id;
      const answer = await call(`/listen?s=${s}`, {headers, signal});
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part; !(part = await reader.read()).done;) {
        const blocks = (pending + part.value).split("\n\n");
        pending = blocks.pop();
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block);
          id = /^id: (.*)$/m.exec(block)?.[1] ?? id;
          if (data) got(takeEvent(data[1].slice(1, -1)));
        }
      }
    } catch (error) {
      if (error.status && error.status < 500) throw error;
    }
    pending = "";
  }
}

async function showStream(bucket, stream) {
  const list = table(["#Seqnum", "Time", "Data"]);
  const more = make("button", {hidden: ""}, "Older");
  const count = make("span", {class: "quiet"});
  const form = make("form", {onsubmit: guarded(async () => {
    await post(streamPath(bucket, stream), form.elements.data.value);
    form.reset();
  })}, make("textarea", {name: "data", placeholder: '{"an":"event"}', required: ""}),
    make("button", {}, "Append"));
  const page = leave;
  let last = 0;
  const oldest = () => Number(list.rowsOf.lastChild?.firstChild.textContent) || 1;
  const add = async to => {
    const found = await eventsBefore(bucket, stream, to);
    list.rowsOf.append(...found.events.map(eventRow));
    more.hidden = oldest() <= 1 || found.events.length < PAGE;
    return found;
  };
  const showLast = () => { count.textContent = `${last.toLocaleString()} events so far`; };
  more.onclick = guarded(() => add(oldest() - 1));
  main.replaceChildren(
    make("h1", {}, link(bucket, bucket), " / ", stream),
    make("p", {class: "bar"}, make("span", {class: "live quiet"}, "live"), count),
    form, list, more);
  last = (await add(0)).last;
  showLast();
  follow(bucket, stream, last + 1, page.signal, event => {
    list.rowsOf.prepend(eventRow(event));
    if (list.rowsOf.rows.length > KEPT_ROWS) {
      list.rowsOf.lastChild.remove();
      more.hidden = false;
    }
    last = event.meta?.id ?? last;
    showLast();
  }).catch(say);
}

const percent = p => p == null ? "" : p.toFixed(1) + " %";

function clusterRows(c) {
  const members = table(["Node", "Status", "Up", "#Ring", "#Pending", ""], ...c.members.map(m =>
    make("tr", {}, make("td", {}, m.name), make("td", {}, m.status),
      make("td", {}, m.up ? "yes" : "no"), make("td", {class: "number"}, percent(m.ring)),
      make("td", {class: "number"}, percent(m.pending)),
      make("td", {class: "quiet"}, m.claimant ? "claimant" : ""))));
  const moves = table(["Group", "From", "To", "#Bytes", "#Of", "Last error"], ...c.active.map(t =>
    make("tr", {}, make("td", {}, String(t.group)), make("td", {}, t.from), make("td", {}, t.to),
      number(t.bytes), number(t.total_bytes), make("td", {}, t.error ?? ""))));
  return [members, make("h2", {}, c.active.length || c.queued
    ? `Transfers: ${c.active.length} active, ${c.queued} queued` : "No transfers active"),
    ...(c.active.length ? [moves] : [])];
}

async function showCluster() {
  const {signal} = leave;
  const place = make("div");
  const title = make("h1", {}, "Cluster");
  main.replaceChildren(title, place);
  for (;;) {
    const c = await json("/cluster");
    title.textContent = `Cluster of ${c.members.length}, ring ${c.epoch}` +
      (c.ready ? "" : ", not all agree on it yet");
    place.replaceChildren(...clusterRows(c));
    await new Promise(r => setTimeout(r, REFRESH_MS));
    if (signal.aborted) return;
  }
}

// --- where we are ------------------------------------------------------------------

function show() {
  const [view, ...words] = location.hash.replace(/^#\//, "").split("/").filter(Boolean)
    .map(decodeURIComponent);
  const cluster = view === "cluster";
  leave.abort();
  leave = new AbortController();
  say();
  for (const a of document.querySelectorAll("nav a"))
    a.classList.toggle("here", (a.dataset.view === "cluster") === cluster);
  const page = cluster ? showCluster() : words.length === 0 ? showBuckets()
    : words.length === 1 ? showBucket(words[0]) : showStream(words[0], words[1]);
  page.catch(error => {
    if (error.lost) signOut();
    say(error);
  });
}

function showUser() {
  const name = token() && sessionStorage.getItem("username");
  document.getElementById("login").hidden = !!name;
  document.getElementById("user").hidden = !name;
  document.querySelector("#user span").textContent = name ?? "";
}

function signOut() {
  sessionStorage.clear();
  showUser();
}

document.getElementById("login").onsubmit = guarded(async event => {
  const form = event.target;
  const session = await post("/sessions", {
    username: form.elements.username.value, password: form.elements.password.value});
  sessionStorage.setItem("token", session.token);
  sessionStorage.setItem("username", session.username);
  form.reset();
  showUser();
  show();
});
// Of this page only: DELETE /sessions would end all sessions of the user.
document.querySelector("#user button").onclick = () => { signOut(); show(); };
window.addEventListener("hashchange", show);
showUser();
show();
