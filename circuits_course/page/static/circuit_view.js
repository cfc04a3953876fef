// circuit.js stands before this: a circuit whose other states come from the kernel.
const PATIENCE = 30_000; // milliseconds; a cell that runs keeps the kernel from answering

export default {
  render({ model, el }) {
    const waiting = new Map();
    model.on("msg:custom", ({ asked, state, trouble }) => {
      const found = waiting.get(String(asked));
      waiting.delete(String(asked));
      if (state) found?.done(state);
      else found?.failed(new Error(trouble));
    });
    wakeCircuit(el, model.get("data"), (silenced) =>
      new Promise((done, failed) => {
        waiting.set(String(silenced), { done, failed });
        model.send({ silenced });
        const late = "The kernel does not answer. When no cell is running any more, press again.";
        setTimeout(() => failed(new Error(late)), PATIENCE);
      }),
    );
  },
};
