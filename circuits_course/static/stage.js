// Puts live widgets in the place of still pictures. Each picture's own script registers it under the
// kernel that made it; this model (one per kernel) picks it up. A saved page has no such model, so
// there the pictures stay.
async function onPage(id) {
  for (let frames = 0; frames < 600; frames++) {
    const place = document.getElementById(id);
    if (place) return place;
    await new Promise(requestAnimationFrame);
  }
  return null; // its cell ran again in the meantime
}

async function mount(manager, { slot, model }) {
  const place = await onPage(slot);
  if (!place || place.dataset.live) return;
  place.dataset.live = "yes";
  const picture = place.querySelector("img");
  try {
    const view = await manager.create_view(await manager.get_model(model));
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", picture.alt);
    place.append(view.el);
    view.luminoWidget?.processMessage({ type: "after-attach" });
    picture.hidden = true;
  } catch (error) {
    delete place.dataset.live;
    console.warn("The still picture stays:", error);
  }
}

export default {
  initialize({ model }) {
    const kernels = (globalThis.circuitsCourse ??= {});
    const key = model.get("key");
    const waiting = kernels[key] ?? [];
    kernels[key] = { push: (item) => mount(model.widget_manager, item) };
    for (const item of waiting) kernels[key].push(item);
  },
};
