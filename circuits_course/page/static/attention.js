// Shows circuitsvis' AttentionHeads. Its script comes from the kernel, once per page.
async function load(manager, reference) {
  const library = await manager.get_model(reference.replace("IPY_MODEL_", ""));
  const packed = new Blob([library.get("script")]).stream();
  const script = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
  const code = script
    .replace('"Source Token"', '"key: the token attended to"') // as in the still picture
    .replace('"Destination Token"', '"query: the token that looks"');
  const parts = [code, "\nexport default CircuitsVis;"];
  const url = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

// circuitsvis' thumbnails know the mouse only: here they become buttons.
function reachHeads(place, names) {
  const heads = [...place.querySelectorAll("h4")].map((label) => label.parentElement);
  heads.forEach((head, index) => {
    head.setAttribute("role", "button");
    head.setAttribute("tabindex", "0");
    head.setAttribute("aria-label", `head ${names[index]}`);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      head.click();
    });
  });
  const shows = () => {
    const head = place.querySelector("h2")?.textContent ?? "";
    heads.forEach((each, i) => each.setAttribute("aria-pressed", String(names[i] === head)));
    for (const drawn of place.querySelectorAll("canvas")) {
      const thumbnail = heads.some((each) => each.contains(drawn));
      if (thumbnail) drawn.setAttribute("role", "presentation");
      else drawn.setAttribute("aria-label", `Attention of head ${head}; its numbers stand below`);
    }
  };
  new MutationObserver(shows).observe(place, { childList: true, subtree: true, characterData: true });
  shows();
}

async function appears(place, selector) {
  for (let frames = 0; frames < 600 && !place.querySelector(selector); frames++)
    await new Promise(requestAnimationFrame);
}

async function onPage(element) {
  while (!element.isConnected) await new Promise(requestAnimationFrame);
}

let count = 0;

async function render({ model, el }) {
  const loading = (globalThis.circuitsCourseVis ??= load(model.widget_manager, model.get("library")));
  const title = document.createElement("p");
  title.textContent = model.get("title");
  const place = document.createElement("div");
  place.id = `attention-${Date.now()}-${count++}`;
  el.classList.add("circuits-attention");
  el.append(title, place);
  const [vis] = await Promise.all([loading, onPage(el)]);
  vis.render(place.id, vis.AttentionHeads, {
    tokens: model.get("tokens"),
    attention: model.get("pattern"),
    attentionHeadNames: model.get("head_names"),
    maskUpperTri: model.get("causal"),
    positiveColor: "#08306b", // as in the still picture
    maxValue: 1,
  });
  await appears(place, "h2");
  reachHeads(place, model.get("head_names"));
}

export default { render };
