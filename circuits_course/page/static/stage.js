// names.js stands before this.
// Puts live widgets in the place of their still forms. Each one's own script registers it under the
// kernel that made it; this model (one per kernel) picks it up. A saved page has no such model, so
// there the still forms stay.
async function onPage(id) {
  for (let frames = 0; frames < 600; frames++) {
    const place = document.getElementById(id);
    if (place) return place;
    await new Promise(requestAnimationFrame);
  }
  return null; // its cell ran again in the meantime
}

// JupyterLab moves between cells with the arrow keys, even where a closed menu or a group of radio
// buttons has the focus and needs them.
function keepKeys({ target }) {
  if (target.matches("select, input[type=radio]")) target.dataset.lmSuppressShortcuts = "true";
}

async function mount(manager, { slot, model }) {
  const place = await onPage(slot);
  if (!place || place.dataset.live) return;
  place.dataset.live = "yes";
  const still = place.firstElementChild;
  try {
    const view = await manager.create_view(await manager.get_model(model));
    place.setAttribute("role", "group");
    place.addEventListener("focusin", keepKeys);
    place.append(view.el);
    view.luminoWidget?.processMessage({ type: "after-attach" });
    still.hidden = true;
    place.addEventListener("click", ({ target }) => {
      const words = target.closest("summary")?.parentElement;
      if (words) place.dataset.unfolded = !words.open; // a click comes before what it does
    });
    watch(place, () => {
      nameControls(place);
      nameGroup(place, still);
      keepUnfolded(place);
      hideWordsBelow(place);
    });
  } catch (error) {
    delete place.dataset.live;
    console.warn("The still form stays:", error);
  }
}

export default {
  initialize({ model }) {
    const kernels = (globalThis.circuitsCourse ??= {});
    const key = model.get("key");
    const waiting = kernels[key] ?? [];
    kernels[key] = { push: (item) => mount(model.widget_manager, item) };
    for (const item of waiting) kernels[key].push(item);
    if (!globalThis.circuitsCourseWatched) {
      globalThis.circuitsCourseWatched = true;
      watch(document.body, describeFigures);
      addEventListener("resize", describeFigures);
    }
  },
};
