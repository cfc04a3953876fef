// circuit.js stands before this: a circuit whose other states come from the kernel.
export default {
  render({ model, el }) {
    let waiting = [];
    model.on("msg:custom", ({ state, trouble }) => {
      const asked = waiting.shift();
      if (state) asked?.done(state);
      else asked?.failed(new Error(trouble));
    });
    wakeCircuit(el, model.get("data"), (silenced) =>
      new Promise((done, failed) => {
        waiting.push({ done, failed });
        model.send({ silenced });
      }),
    );
  },
};
