// Names and states for what the page's own parts leave without: a slider that speaks its index, a
// button that does not say whether it is pressed, a picture without a description. Only what
// differs is written, so that watching the page while writing to it comes to rest.
function put(element, attribute, value) {
  if (value && element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
}

const textOf = (root, selector) => root?.querySelector(selector)?.textContent.trim();

// Controls of ipywidgets below `root`.
function nameControls(root) {
  for (const handle of root.querySelectorAll(".noUi-handle")) {
    const control = handle.closest(".widget-inline-hbox, .widget-inline-vbox");
    put(handle, "aria-label", textOf(control, ".widget-label"));
    put(handle, "aria-valuetext", textOf(control, ".widget-readout"));
  }
  for (const readout of root.querySelectorAll(".widget-readout[contenteditable=true]")) {
    put(readout, "role", "textbox");
    put(readout, "aria-label", textOf(readout.parentElement, ".widget-label"));
  }
  for (const group of root.querySelectorAll(".widget-toggle-buttons")) {
    put(group, "role", "group");
    put(group, "aria-label", textOf(group, ".widget-label"));
  }
  for (const button of root.querySelectorAll(".widget-toggle-button"))
    put(button, "aria-pressed", String(button.classList.contains("mod-active")));
  for (const button of root.querySelectorAll(".circuits-choice"))
    put(button, "aria-pressed", String(button.classList.contains("mod-info")));
  for (const form of root.querySelectorAll(".circuits-form")) nameField(form);
}

let groups = 0;

// The field of a question carries the question as its name. Its choices are a group of their own:
// without a name the arrow keys would go on into the next question of the page.
function nameField(form) {
  const question = textOf(form, ".circuits-question");
  for (const box of form.querySelectorAll(".widget-radio-box")) {
    put(box, "role", "radiogroup");
    put(box, "aria-label", question);
    box.dataset.group ??= `circuits-question-${++groups}`;
    for (const choice of box.querySelectorAll("input")) put(choice, "name", box.dataset.group);
  }
  for (const area of form.querySelectorAll("textarea")) put(area, "aria-label", question);
}

// A live figure is called by the picture that it shows at the moment, a question by its words.
function nameGroup(place, still) {
  const shown = [...place.querySelectorAll("img[alt]")].filter((img) => img.offsetParent).pop();
  const said = (shown ?? still).alt?.split(/\.\s/)[0];
  put(place, "aria-label", said ?? textOf(place, ".circuits-question"));
}

// An explorer has words of its own, which change with its picture: those below it, about its first
// picture, would soon tell of another one.
function hideWordsBelow(place) {
  const below = place.closest(".jp-OutputArea-child")?.nextElementSibling;
  const words = below?.querySelector(".circuits-words");
  if (words && place.querySelector(".circuits-words")) words.hidden = true;
}

// What a reader has unfolded stays so in the next picture.
function keepUnfolded(place) {
  for (const words of place.querySelectorAll(".circuits-words"))
    words.open = place.dataset.unfolded === "true";
}

// A figure's words stand in the output below it: they are what its picture is called.
function describeFigures() {
  for (const words of document.querySelectorAll(".circuits-words")) {
    if (words.closest("[data-live]")) continue; // an explorer's own: its picture has a description
    const figure = words.closest(".jp-OutputArea-child")?.previousElementSibling;
    const said = textOf(words, "p");
    if (!figure || !said) continue;
    for (const img of figure.querySelectorAll("img:not([alt])")) {
      put(img, "alt", said);
      img.style.maxWidth = "100%";
    }
    for (const plot of figure.querySelectorAll(".js-plotly-plot .svg-container")) {
      put(plot, "role", "figure");
      put(plot, "aria-label", said);
      shrink(plot);
    }
  }
}

// plotly draws in the width that a figure was made for: in a narrower place it shrinks, as
// pictures do.
function shrink(plot) {
  const graph = plot.closest(".js-plotly-plot");
  const share = Math.min(1, graph.parentElement.clientWidth / plot.offsetWidth) || 1;
  const scale = share < 1 ? `scale(${share.toFixed(4)})` : "";
  if (graph.style.transform === scale) return;
  graph.style.transformOrigin = "0 0";
  graph.style.overflow = "visible"; // its own width stays the narrow one
  graph.style.transform = scale;
  graph.style.marginBottom = `${Math.round((share - 1) * plot.offsetHeight)}px`;
}

// Calls `act` soon after anything changes below `root`, and at once.
function watch(root, act) {
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => ((waiting = false), act()), 50);
  };
  const what = { childList: true, subtree: true, characterData: true, attributes: true };
  const filter = ["class", "aria-valuetext", "style", "hidden"];
  new MutationObserver(soon).observe(root, { ...what, attributeFilter: filter });
  act();
}
