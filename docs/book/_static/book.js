/* What makes a page of the book answer. Without it every page can still be read to the end. */
(() => {
  "use strict";
  const STORE = "circuits-course-book";
  const here = document.currentScript?.src ?? "";

  /* --- answers, kept in this browser alone --- */

  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(STORE)) ?? {};
    } catch {
      return {};
    }
  };

  const keep = (name, answer) => {
    try {
      localStorage.setItem(STORE, JSON.stringify({ ...kept(), [name]: answer }));
    } catch {
      /* a browser that keeps nothing: the answer stands until the page is left */
    }
  };

  const answers = (form) => form.querySelector(".answers");

  const say = (form, said) => {
    form.querySelector(".feedback").replaceChildren(said);
    if (answers(form)) answers(form).hidden = said.dataset.kind === "ask";
  };

  const ask = (words) => {
    const said = document.createElement("div");
    said.className = "said";
    said.dataset.tone = "open";
    said.dataset.kind = "ask";
    said.textContent = words;
    return said;
  };

  const told = (form) => (form.querySelector("template")?.content ?? form).querySelectorAll(".said");

  const tell = (form, answer) => {
    const all = [...told(form)].filter((said) => !said.closest(".feedback"));
    say(form, (form.querySelector("textarea") ? all[0] : all[answer]).cloneNode(true));
    document.querySelectorAll(".reveal").forEach((reveal) => {
      if (reveal.dataset.name !== form.dataset.name) return;
      reveal.querySelector(".feedback").replaceChildren(told(reveal)[answer].cloneNode(true));
      answers(reveal).hidden = true;
    });
  };

  const given = (form) => {
    const area = form.querySelector("textarea");
    const chosen = form.querySelector("input:checked");
    return area ? area.value.trim() || null : chosen && Number(chosen.value);
  };

  const restore = (form, answer) => {
    const area = form.querySelector("textarea");
    const radio = form.querySelectorAll("input")[answer];
    if (area) area.value = answer;
    else if (radio) radio.checked = true;
    else return;
    tell(form, answer);
  };

  const wakeQuestion = (form) => {
    form.querySelector("button").hidden = false;
    if (answers(form)) answers(form).hidden = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = given(form);
      if (answer === null) {
        say(form, ask(form.querySelector("textarea") ? "Write a sentence first." : "Choose one first."));
        return;
      }
      keep(form.dataset.name, answer);
      tell(form, answer);
    });
    const before = kept()[form.dataset.name];
    if (before !== undefined) restore(form, before);
  };

  const offerToForget = (forms) => {
    if (!forms.length) return;
    const line = document.createElement("p");
    line.className = "kept";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Forget my answers";
    button.addEventListener("click", () => {
      localStorage.removeItem(STORE);
      location.reload();
    });
    line.append("Your answers are kept in this browser and sent nowhere. ", button);
    document.querySelector("article")?.append(line);
  };

  /* --- figures: still until they are looked at, and on small screens until they are asked --- */

  let bundle;
  const plotly = () =>
    (bundle ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = new URL("plotly.min.js", here);
      script.onload = () => done(window.Plotly);
      script.onerror = failed;
      document.head.append(script);
    }));

  const wakeFigure = async (figure) => {
    const still = figure.querySelector(".still");
    const data = figure.querySelector("script.plot");
    if (!data) return;
    const { data: traces, layout, config } = JSON.parse(data.textContent);
    data.remove();
    const Plotly = await plotly();
    const alive = document.createElement("div");
    alive.className = "alive";
    alive.setAttribute("role", "group");
    alive.setAttribute("aria-label", still.querySelector("img").alt);
    still.after(alive);
    await Plotly.newPlot(alive, traces, layout, config);
    still.hidden = true;
  };

  const offerToWake = (figure) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "wake";
    button.textContent = "Look closer";
    button.addEventListener("click", () => {
      button.remove();
      wakeFigure(figure);
    });
    figure.querySelector(".still").after(button);
  };

  const watchFigures = () => {
    const figures = [...document.querySelectorAll("figure.picture:has(> script.plot)")];
    if (matchMedia("(max-width: 46em)").matches || navigator.connection?.saveData) {
      figures.forEach(offerToWake);
      return;
    }
    const watch = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        watch.unobserve(target);
        wakeFigure(target);
      }
    });
    figures.forEach((figure) => watch.observe(figure));
  };

  /* --- circuits: measured beforehand, whole and without each head --- */

  const wakeCircuits = () => {
    for (const data of document.querySelectorAll("figure.picture > script.circuit")) {
      const alive = document.createElement("div");
      alive.setAttribute("role", "group");
      alive.setAttribute("aria-label", data.parentElement.querySelector("img").alt.split(". ")[0]);
      data.parentElement.querySelector(".still").replaceWith(alive);
      wakeCircuit(alive, JSON.parse(data.textContent), null);
      data.remove();
    }
  };

  /* --- what is wider than the page can be scrolled by keyboard too --- */

  const SCROLLS = "pre, .table-wrapper, .cell_output, .alive, .drawing, div.math, .highlight";
  const reachByKeyboard = () => {
    for (const box of document.querySelectorAll(SCROLLS)) {
      const wide = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1;
      if (wide && getComputedStyle(box).overflowX !== "visible") box.tabIndex = 0;
    }
  };

  /* --- the walk on the front page --- */

  const wakeWalk = (walk) => {
    const steps = walk.querySelectorAll(".steps > li");
    const controls = walk.querySelector(".controls");
    const cut = controls.querySelector("input");
    const [back, play, on] = controls.querySelectorAll("button");
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let at = 0;
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    };
    const show = (step) => {
      at = Math.max(0, Math.min(steps.length - 1, step));
      walk.dataset.at = at + 1;
      steps.forEach((item, n) => {
        item.classList.toggle("now", n === at);
        if (n === at) item.setAttribute("aria-current", "step");
        else item.removeAttribute("aria-current");
      });
      walk.classList.toggle("severed", cut.checked);
      walk.querySelectorAll("[data-step]").forEach((part) => {
        part.classList.toggle("later", Number(part.dataset.step) > at + 1);
      });
      back.disabled = at === 0;
      on.disabled = at === steps.length - 1;
      if (on.disabled) stop();
    };
    const start = () => {
      if (at === steps.length - 1) show(0);
      play.textContent = "Pause";
      timer = setInterval(() => show(at + 1), 2600);
    };
    back.addEventListener("click", () => (stop(), show(at - 1)));
    on.addEventListener("click", () => (stop(), show(at + 1)));
    play.addEventListener("click", () => (timer ? stop() : start()));
    cut.addEventListener("change", () => show(at));
    cut.checked = false;
    controls.hidden = false;
    walk.classList.add("awake");
    if (calm.matches) play.hidden = true; // nothing moves by itself
    show(0);
  };

  const begin = () => {
    const forms = [...document.querySelectorAll("form.question")];
    forms.forEach(wakeQuestion);
    offerToForget(forms);
    watchFigures();
    wakeCircuits();
    document.querySelectorAll(".walk").forEach(wakeWalk);
    reachByKeyboard();
    addEventListener("resize", reachByKeyboard);
    addEventListener("toggle", reachByKeyboard, true);
  };

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
