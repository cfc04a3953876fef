// Shows circuitsvis' AttentionHeads. Its script comes from the kernel, once per page.
async function load(manager, reference) {
  const library = await manager.get_model(reference.replace("IPY_MODEL_", ""));
  const packed = new Blob([library.get("script")]).stream();
  const code = await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).text();
  const parts = [code, "\nexport default CircuitsVis;"];
  const url = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
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
}

export default { render };
