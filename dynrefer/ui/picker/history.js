// Undo and redo: every state that the picker was in on this photograph, and the place among them.

const MOST_STATES = 200;
let states = [];
let current = -1;

/** Begins anew with one state, for another photograph. */
function begin(state) {
  states = [state];
  current = 0;
}

/** Adds a state after the current one; what was undone before is gone. */
function record(state) {
  states = [...states.slice(0, current + 1), state].slice(-MOST_STATES);
  current = states.length - 1;
}

/** Goes `steps` back (-1) or forth (1); the state there, or null where there is none. */
function step(steps) {
  if (!states[current + steps]) return null;
  current += steps;
  return states[current];
}
