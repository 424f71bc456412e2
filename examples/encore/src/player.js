"use strict";

const songs = JSON.parse(document.getElementById("catalogue").textContent).songs;
const byId = new Map(songs.map((song) => [song.id, song]));
const band = new Band();
const the = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);

/* What is playing: `queue[at]` is the song, `position` is where in it we are, in seconds. */
const state = { queue: songs.map((song) => song.id), at: 0, position: 0, playing: false, shuffle: false, repeat: false, since: 0 };
const song = () => byId.get(state.queue[state.at]);

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function position() {
  return state.position + (state.playing ? (performance.now() - state.since) / 1000 : 0);
}

function setPlaying(playing) {
  state.position = position();
  state.playing = playing;
  state.since = performance.now();
  if (playing) band.start(song(), state.position);
  else band.stop();
  showPlaying();
}

function moveTo(at, { play = state.playing } = {}) {
  state.playing = false;
  state.at = (at + state.queue.length) % state.queue.length;
  state.position = 0;
  show();
  setPlaying(play);
}

function next() {
  if (state.shuffle && state.queue.length > 2) {
    const from = state.at + 1 + Math.floor(Math.random() * (state.queue.length - state.at - 1));
    if (from < state.queue.length) state.queue.splice(state.at + 1, 0, ...state.queue.splice(from, 1));
  }
  moveTo(state.at + 1);
}

function playNow(id) {
  const known = state.queue.indexOf(id);
  if (known < 0) state.queue.splice(state.at + 1, 0, id);
  moveTo(known < 0 ? state.at + 1 : known, { play: true });
}

function playNext(id) {
  if (id === song().id) return;
  const known = state.queue.indexOf(id);
  if (known >= 0) state.queue.splice(known, 1);
  state.at = state.queue.indexOf(the("art").dataset.song);
  state.queue.splice(state.at + 1, 0, id);
  showQueue();
  the("said").textContent = `${byId.get(id).title} plays next`;
}

function show() {
  const { id, title, artist, cover, colours, length } = song();
  for (const name of ["art", "mini-art"]) the(name).src = `art/${cover}.svg`;
  the("art").dataset.song = id;
  for (const name of ["title", "mini-title"]) the(name).textContent = title;
  for (const name of ["artist", "mini-artist"]) the(name).textContent = artist;
  document.documentElement.style.setProperty("--tone-1", colours[1]);
  document.documentElement.style.setProperty("--tone-2", colours[3]);
  document.title = `${title} – ${artist}`;
  the("seek").max = length;
  for (const row of all("[data-song]")) row.classList.toggle("now", row.dataset.song === id);
  showCards(id);
  showQueue();
  showProgress();
}

function showCards(id) {
  for (const cards of all("[data-cards]")) cards.hidden = cards.dataset.cards !== id;
}

function showPlaying() {
  document.body.classList.toggle("playing", state.playing);
  for (const button of [the("play"), the("mini-play")]) {
    button.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    button.querySelector("use").setAttribute("href", state.playing ? "#i-pause" : "#i-play");
  }
}

function showProgress() {
  const at = Math.min(position(), song().length);
  the("seek").value = at;
  the("seek").setAttribute("aria-valuetext", `${duration(at)} of ${duration(song().length)}`);
  the("seek").style.setProperty("--at", `${(100 * at) / song().length}%`);
  the("elapsed").textContent = duration(at);
  the("left").textContent = `-${duration(song().length - at)}`;
}

function showQueue() {
  const upcoming = state.queue.slice(state.at + 1).map((id) => {
    const row = document.querySelector(`#songs [data-song="${id}"]`).cloneNode(true);
    row.hidden = false;
    const remove = row.querySelector("[data-next]");
    delete remove.dataset.next;
    remove.dataset.remove = id;
    remove.setAttribute("aria-label", `Remove ${byId.get(id).title} from the queue`);
    remove.querySelector("use").setAttribute("href", "#i-remove");
    return row;
  });
  if (!upcoming.length) {
    const empty = document.createElement("li");
    empty.className = "empty";
    empty.textContent = "That was the last one. Add more from the library.";
    upcoming.push(empty);
  }
  the("upcoming").replaceChildren(...upcoming);
}

function open(view) {
  document.body.dataset.view = view;
  for (const tab of all(".tabs [data-view-open]")) {
    if (tab.dataset.viewOpen === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
}

function filter(mood) {
  for (const chip of all(".chip")) chip.setAttribute("aria-pressed", String(chip.dataset.mood === mood));
  for (const row of all("#songs [data-of]")) row.hidden = mood !== "" && row.dataset.of !== mood;
}

function remember(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    // Storage may be switched off; then nothing is remembered.
  }
  return null;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember("theme", root.dataset.theme);
}

function toggle(name) {
  state[name] = !state[name];
  the(name).setAttribute("aria-pressed", String(state[name]));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { play, next: nextUp, remove, viewOpen, mood, album } = button.dataset;
  if (play) playNow(play);
  if (nextUp) playNext(nextUp);
  if (album) playNow(songs.find((each) => each.cover === album).id);
  if (viewOpen) open(viewOpen);
  if (mood !== undefined) filter(mood);
  if (remove) {
    state.queue.splice(state.queue.indexOf(remove, state.at + 1), 1);
    showQueue();
  }
});

the("play").addEventListener("click", () => setPlaying(!state.playing));
the("mini-play").addEventListener("click", () => setPlaying(!state.playing));
the("next").addEventListener("click", next);
the("previous").addEventListener("click", () => moveTo(position() > 4 ? state.at : state.at - 1));
the("shuffle").addEventListener("click", () => toggle("shuffle"));
the("repeat").addEventListener("click", () => toggle("repeat"));
the("theme").addEventListener("click", switchTheme);
the("seek").addEventListener("input", (event) => {
  state.position = Number(event.target.value);
  state.since = performance.now();
  if (state.playing) band.start(song(), state.position);
  showProgress();
});

setInterval(() => {
  if (!state.playing) return;
  if (position() >= song().length) moveTo(state.repeat ? state.at : state.at + 1);
  showProgress();
}, 250);

const theme = remember("theme");
if (theme) document.documentElement.dataset.theme = theme;
show();
open("listen");
