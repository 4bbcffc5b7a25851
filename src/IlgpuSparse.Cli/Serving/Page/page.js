// The whole page: sends the conversation, reads the stream, draws what was read for the token just written.
const $ = id => document.getElementById(id);
const turns = [];
let model, running = null;

function headers() {
  const result = { "Content-Type": "application/json" };
  if ($("key").value) result.Authorization = "Bearer " + $("key").value;
  return result;
}

async function connect() {
  try {
    const response = await fetch("/live/model", { headers: headers() });
    if (!response.ok) throw new Error(await reason(response));
    model = await response.json();
    $("model").textContent = `${model.name} · ${model.attention} · ${model.layers} layers, ${model.kvHeads} kv heads · ${model.context.toLocaleString("en")} tokens of cache · ${model.backend}`;
    $("error").textContent = "";
  } catch (e) {
    $("model").textContent = "not connected";
    $("error").textContent = e.message;
  }
}

async function reason(response) {
  const text = await response.text();
  try { return JSON.parse(text).error.message; } catch { return text || response.statusText; }
}

function say(role, text) {
  const p = document.createElement("p");
  p.className = role;
  p.textContent = text;
  $("conversation").append(p);
  p.scrollIntoView({ block: "nearest" });
  return p;
}

function newPanel(title) {
  const panel = $("panel").content.firstElementChild.cloneNode(true);
  panel.querySelector("h2").textContent = title;
  $("live").append(panel);
  const canvas = panel.querySelector("canvas"), hover = panel.querySelector(".hover");
  const state = { panel, canvas, trace: null };
  canvas.addEventListener("mousemove", e => {
    if (!state.trace) return;
    const box = canvas.getBoundingClientRect();
    const column = Math.min(model.columns - 1, Math.floor((e.clientX - box.left) / box.width * model.columns));
    const head = state.trace.heads[Math.min(state.trace.heads.length - 1, Math.floor((e.clientY - box.top) / box.height * state.trace.heads.length))];
    const length = state.trace.position + 1, from = Math.floor(column * length / model.columns), to = Math.floor((column + 1) * length / model.columns);
    hover.textContent = `layer ${head.layer}, head ${head.head}: tokens ${from} to ${Math.max(from, to - 1)} hold ${(100 * head.heat[column]).toFixed(2)} % of the attention, ${(100 * head.read[column]).toFixed(0)} % of them were read; the head keeps ${(100 * head.massKept).toFixed(1)} %`;
  });
  return state;
}

// One row a head: attention above, what was read below. Weights are shown by their square root, or all but the first token would be black.
function draw(state, trace) {
  state.trace = trace;
  const { canvas } = state, rowHeight = 12, columns = model.columns;
  canvas.width = columns * 10;
  canvas.height = trace.heads.length * rowHeight;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#100e0c";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  trace.heads.forEach((head, row) => {
    const most = Math.max(...head.heat, 1e-9);
    for (let column = 0; column < columns; column++) {
      const light = Math.round(92 * Math.sqrt(head.heat[column] / most));
      if (light > 0) {
        pen.fillStyle = `hsl(205 60% ${light}%)`;
        pen.fillRect(column * 10, row * rowHeight, 10, rowHeight - 5);
      }
      if (head.read[column] > 0) {
        pen.fillStyle = `hsl(28 95% ${Math.round(18 + 42 * head.read[column])}%)`;
        pen.fillRect(column * 10, row * rowHeight + rowHeight - 5, 10, 4);
      }
    }
  });
}

function show(state, event, text) {
  const set = (name, value) => state.panel.querySelector("." + name).textContent = value;
  set("answer", text);
  const s = event.statistics;
  if (s) {
    set("speed", s.tokensPerSecond > 0 ? s.tokensPerSecond.toFixed(1) : "–");
    set("first", `${(s.firstTokenSeconds * 1000).toFixed(0)} ms`);
    set("density", `${(100 * s.density).toFixed(1)} %`);
  }
  if (event.trace) {
    set("mass", `${(100 * event.trace.massKept).toFixed(1)} %`);
    set("read", `${Math.round(event.trace.tokensRead).toLocaleString("en")} of ${(event.trace.position + 1).toLocaleString("en")}`);
    draw(state, event.trace);
  }
}

async function answer(state, full, signal) {
  const response = await fetch("/live/chat", {
    method: "POST", headers: headers(), signal,
    body: JSON.stringify({ messages: turns, max_tokens: Number($("most").value), temperature: Number($("temperature").value), seed: Number($("seed").value), full_attention: full, trace: $("trace").checked }),
  });
  if (!response.ok) throw new Error(await reason(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", text = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return text;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const line of events) {
        if (line === "data: [DONE]") continue;
        const event = JSON.parse(line.slice(6));
        if (event.error) throw new Error(event.error.message);
        text += event.text;
        show(state, event, text);
      }
    }
  } catch (e) {
    if (e.name === "AbortError") return text;
    throw e;
  }
}

$("form").addEventListener("submit", async e => {
  e.preventDefault();
  if (running || !$("text").value.trim()) return;
  if (!model) await connect();
  const content = $("text").value;
  turns.push({ role: "user", content });
  say("user", content);
  $("text").value = "";
  $("error").textContent = "";
  $("live").replaceChildren();
  running = new AbortController();
  $("send").disabled = true;
  $("stop").disabled = false;
  try {
    const first = newPanel($("compare").checked ? `as served: ${model.attention}` : model.attention);
    const texts = $("compare").checked ? [answer(first, false, running.signal), answer(newPanel("dense: every token is read"), true, running.signal)] : [answer(first, false, running.signal)];
    const done = await Promise.all(texts);
    turns.push({ role: "assistant", content: done[0] });
    say("assistant", done[0]);
  } catch (e) {
    if (e.name !== "AbortError") {
      running.abort();
      turns.pop();
      $("error").textContent = e.message;
    }
  } finally {
    running = null;
    $("send").disabled = false;
    $("stop").disabled = true;
    $("text").focus();
  }
});
$("text").addEventListener("keydown", e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $("form").requestSubmit(); });
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", () => {
  running?.abort();
  turns.length = 0;
  $("conversation").replaceChildren();
  $("live").replaceChildren();
});
$("key").addEventListener("change", connect);
connect();
