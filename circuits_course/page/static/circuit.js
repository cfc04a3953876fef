// A circuit that answers. Choose a head by mouse or arrow keys; silence it; read what it does.
// data: what `plots.CircuitExplorer` measured: the drawing, the heads, the states of the model with
// no head and with one head silent. ask(names): resolves to the state for another set of silent
// heads; null where nobody can be asked, and then one head at a time can be silent.
function wakeCircuit(place, data, ask) {
  "use strict";
  const { facts, roles, tokens, asked } = data;
  const names = Object.keys(roles);
  const known = new Map(data.states.map((state) => [String(state.silenced), state]));
  let chosen = data.start;
  let silent = [];
  let state = known.get("");
  let turn = 0;

  const make = (tag, about = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const drawn = (tag, about = {}, words = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
    made.textContent = words;
    return made;
  };
  const quoted = (word) => `'${word}'`;
  const signed = (value, digits = 2) =>
    (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  const percent = (value) => `${Math.round(value)} %`;

  /* --- the drawing --- */

  const map = make("div", { class: "cc-map", role: "radiogroup", "aria-label": "Heads of the circuit" });
  map.innerHTML = data.svg; // made by the course, every word in it escaped
  const nodes = new Map([...map.querySelectorAll("[data-node]")].map((n) => [n.dataset.node, n]));
  for (const [name, node] of nodes) {
    node.setAttribute("role", "radio");
    node.dataset.lmSuppressShortcuts = "true"; // JupyterLab moves between cells by these keys
    node.addEventListener("click", () => choose(name, true));
    node.addEventListener("keydown", (event) => move(event, name));
  }

  const WAYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

  // The nearest head in the direction of the key: along it counts once, aside twice.
  const next = (name, [right, down]) => {
    const [x, y] = data.places[name];
    let best = null;
    for (const other of names) {
      const [dx, dy] = [data.places[other][0] - x, data.places[other][1] - y];
      const along = dx * right + dy * down;
      const cost = along + 2 * Math.abs(dx * down + dy * right);
      if (along > 1 && (!best || cost < best.cost)) best = { other, cost };
    }
    return best?.other ?? name;
  };

  const move = (event, name) => {
    const to = { Home: names[0], End: names.at(-1), " ": name, Enter: name }[event.key]
      ?? (WAYS[event.key] && next(name, WAYS[event.key]));
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    choose(to, true);
  };

  const markNodes = () => {
    for (const [name, node] of nodes) {
      node.setAttribute("aria-checked", String(name === chosen));
      node.setAttribute("tabindex", name === chosen ? "0" : "-1");
      node.classList.toggle("silent", silent.includes(name));
      const said = [name, roles[name], silent.includes(name) ? "silenced" : ""];
      node.setAttribute("aria-label", said.filter(Boolean).join(", "));
    }
    for (const path of map.querySelectorAll(".path")) {
      const { from, to } = path.dataset;
      path.classList.toggle("near", from === chosen || to === chosen);
      path.classList.toggle("silent", silent.includes(from) || silent.includes(to));
    }
  };

  const cross = (node) => {
    const circle = node.querySelector("circle");
    const [x, y, r] = ["cx", "cy", "r"].map((name) => Number(circle.getAttribute(name)) * 1);
    const side = r * 0.72;
    const d = `M${x - side} ${y - side}L${x + side} ${y + side}M${x - side} ${y + side}L${x + side} ${y - side}`;
    node.append(drawn("path", { class: "cross", d }), drawn("circle", { class: "ring", cx: x, cy: y, r: r + 5 }));
  };
  nodes.forEach(cross);

  /* --- the answer --- */

  const answer = make("p", { class: "cc-answer", role: "status" });
  const tellAnswer = () => {
    const whole = known.get("").score;
    const [right, wrong] = asked.map((word) => word && quoted(word));
    const says = state.says.map(([word, share]) => `${quoted(word)} ${share.toFixed(2)}`).join(", ");
    const measured = wrong ? `${right} minus ${wrong}` : `${right} above the mean`;
    const gone = silent.length ? ` Silent: ${silent.join(", ")}; the whole model has ${signed(whole)}.` : "";
    answer.replaceChildren(
      make("strong", {}, "The model says "), says, ". ",
      make("strong", {}, `${measured}: `), `${signed(state.score)} logits.`, gone,
    );
  };

  /* --- the head --- */

  const panel = make("div", { class: "cc-head", role: "group" });
  const silence = make("button", { type: "button" });
  silence.addEventListener("click", () => {
    const rest = silent.filter((name) => name !== chosen);
    const others = ask ? rest : [];
    update(silent.includes(chosen) ? others : names.filter((n) => n === chosen || others.includes(n)));
  });

  const row = (title, ...inside) => make("p", {}, make("strong", {}, `${title} `), ...inside);

  const INPUTS = { Q: "Queries hear", K: "Keys hear", V: "Values hear" };
  const hears = (letter) => {
    const heard = facts[chosen].feeders.filter(([input]) => input === letter);
    const parts = heard.flatMap(([, sender, share]) => {
      const go = nodes.has(sender) ? make("button", { type: "button", class: "cc-go" }, sender) : sender;
      if (nodes.has(sender)) go.addEventListener("click", () => choose(sender, true));
      return [" · ", go, ` ${signed(share)}`];
    });
    return row(INPUTS[letter], ...(heard.length ? parts.slice(1) : ["nobody in particular."]));
  };

  const writes = (title, pairs) =>
    row(title, pairs.map(([word, value]) => `${quoted(word)} ${signed(value)}`).join(", "));

  const CELL = 15;
  const pattern = () => {
    const { query, key } = facts[chosen];
    const rows = state.heads[chosen].pattern;
    const words = tokens.map((word) => (word.length > 9 ? `${word.slice(0, 8)}…` : word));
    const left = 12 + 7 * Math.max(...words.map((word) => word.length));
    const top = 16 + 6 * Math.max(...words.map((word) => word.length));
    const size = CELL * tokens.length;
    const alt = `Attention of head ${chosen}: queries are rows, keys are columns; dark is much.`;
    const svg = drawn("svg", {
      viewBox: `0 0 ${left + size + 30} ${top + size + 4}`, width: left + size + 30, role: "img", "aria-label": alt,
    });
    rows.forEach((row, q) => {
      svg.append(drawn("text", { x: left - 6, y: top + CELL * (q + 0.75), "text-anchor": "end" }, words[q]));
      const [x, y] = [left + CELL * (q + 0.7), top - 6];
      svg.append(drawn("text", { x, y, transform: `rotate(-50 ${x} ${y})` }, words[q]));
      row.forEach((share, k) => {
        const at = { x: left + CELL * k, y: top + CELL * q, width: CELL, height: CELL };
        svg.append(drawn("rect", { ...at, class: "cell", "fill-opacity": share / 100 }));
      });
    });
    const [y, wide] = [top + CELL * query, CELL * (query + 1)];
    svg.append(drawn("rect", { class: "query", x: left, y, width: wide, height: CELL }));
    svg.append(drawn("rect", { class: "key", x: left + CELL * key, y, width: CELL, height: CELL }));
    return svg;
  };

  const scroller = (inside) =>
    make("div", { class: "cc-pattern", tabindex: "0", role: "group", "aria-label": "Attention pattern" }, inside);

  const tellHead = () => {
    const { query, key, loss } = facts[chosen];
    const rows = state.heads[chosen].pattern;
    const name = [chosen, roles[chosen]].filter(Boolean).join(", ");
    panel.setAttribute("aria-label", `Head ${name}`);
    const off = silent.includes(chosen);
    silence.textContent = `Silence ${chosen}`;
    silence.setAttribute("aria-pressed", String(off));
    const at = (place) => `${quoted(tokens[place])} (${place})`;
    const looks = `At ${at(query)}, where the answer needs it most, it gives ${at(key)} `
      + `${percent(rows[query][key])} of its attention`
      + (key ? ` and ${quoted(tokens[0])} ${percent(rows[query][0])}.` : ".");
    const { raises, lowers } = state.heads[chosen];
    const adds = off
      ? [row("Writes", "what it says on average: it is silent.")]
      : [writes("Raises", raises), writes("Lowers", lowers)];
    panel.replaceChildren(
      make("h4", {}, name), silence,
      row("Alone,", loss < 0 ? `it costs: without it the answer gains ${signed(-loss)} logits.`
        : `without it the answer loses ${loss.toFixed(2)} of ${known.get("").score.toFixed(2)} logits.`),
      row("Looks.", looks),
      make("div", { class: "cc-side" }, scroller(pattern()), make("div", {}, hears("Q"), hears("K"), hears("V"), ...adds)),
    );
  };

  /* --- what happens --- */

  const choose = (name, focus) => {
    chosen = name;
    markNodes();
    tellHead();
    if (focus) nodes.get(name).focus();
  };

  const show = (found) => {
    place.classList.remove("waiting");
    state = found;
    markNodes();
    tellAnswer();
    const held = document.activeElement === silence || place.getRootNode().activeElement === silence;
    tellHead();
    if (held) silence.focus();
  };

  // Back to what is shown, so that the same button can ask again.
  const giveUp = (trouble) => {
    place.classList.remove("waiting");
    silent = state.silenced;
    markNodes();
    tellHead();
    answer.textContent = `✘ ${trouble.message ?? trouble}`;
  };

  const update = async (wanted) => {
    silent = wanted;
    const mine = ++turn;
    const key = String(silent);
    markNodes();
    if (!known.has(key)) {
      place.classList.add("waiting");
      try {
        known.set(key, await ask(silent));
      } catch (trouble) {
        if (mine === turn) giveUp(trouble);
        return;
      }
    }
    if (mine === turn) show(known.get(key));
  };

  const all = make("button", { type: "button", class: "cc-all" }, "Let all speak");
  all.addEventListener("click", () => update([]));
  const keys = make("p", { class: "cc-keys" }, "Beside a head: the logits that the answer loses without it. Beside an arrow: the input by which it is heard, and "
    + "the share that hangs on it. Arrow keys lead from head to head, Tab to the button. ", all);
  place.classList.add("cc-drawing", "cc-circuit");
  place.append(answer, make("div", { class: "cc-side" }, make("div", { class: "cc-whole" }, map, keys), panel));
  choose(chosen, false);
  tellAnswer();
}
