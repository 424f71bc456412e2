"use strict";

/* A small band that lives in the browser: from a song's tempo, root note and scale it plays chords, a bass and a
   plucked melody. The same song always sounds the same. Where there is no audio, the player goes on in silence. */

const SCALES = { major: [0, 2, 4, 5, 7, 9, 11], minor: [0, 2, 3, 5, 7, 8, 10] };
const CHORDS = [[0, 4, 5, 3], [0, 5, 3, 4], [0, 2, 5, 4], [0, 3, 0, 4]];
const LOOKAHEAD = 0.25; // seconds

class Band {
  start(song, position) {
    this.stop();
    const Context = window.AudioContext || window.webkitAudioContext;
    if (!Context) return;
    this.context ||= new Context();
    this.context.resume();
    this.out = this.context.createGain();
    this.out.gain.value = 0.5;
    this.out.connect(this.context.destination);
    this.tune = song.tune;
    this.seed = [...song.id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
    this.beat = 30 / song.tune.bpm; // an eighth note, in seconds
    this.step = Math.ceil(position / this.beat);
    this.zero = this.context.currentTime + 0.06 - position;
    this.timer = setInterval(() => this.schedule(), 60);
    this.schedule();
  }

  stop() {
    clearInterval(this.timer);
    if (!this.out) return;
    this.out.gain.setTargetAtTime(0, this.context.currentTime, 0.04);
    const old = this.out;
    setTimeout(() => old.disconnect(), 400);
    this.out = null;
  }

  schedule() {
    const until = this.context.currentTime + LOOKAHEAD;
    for (; this.zero + this.step * this.beat < until; this.step += 1) this.play(this.step, this.zero + this.step * this.beat);
  }

  play(step, at) {
    const bar = Math.floor(step / 8);
    const chord = CHORDS[this.seed % CHORDS.length][bar % 4];
    if (step % 8 === 0) for (const third of [0, 2, 4]) this.note(chord + third, at, this.beat * 8, "sine", 0.07, 0.5);
    if (step % 4 === 0) this.note(chord - 7, at, this.beat * 3, "triangle", 0.16, 0.02);
    const dice = this.chance(bar % 8, step % 8);
    if (dice < 0.62) this.note(chord + 7 + [0, 2, 4, 1, 7][Math.floor(dice * 8)], at, this.beat * 2.4, "triangle", 0.09, 0.005);
  }

  note(degree, at, length, shape, loudness, attack) {
    const scale = SCALES[this.tune.scale];
    const octave = Math.floor(degree / 7);
    const pitch = this.tune.root + 12 * octave + scale[degree - 7 * octave];
    const tone = this.context.createOscillator();
    const shapeOf = this.context.createGain();
    tone.type = shape;
    tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    shapeOf.gain.setValueAtTime(0, at);
    shapeOf.gain.linearRampToValueAtTime(loudness, at + attack);
    shapeOf.gain.exponentialRampToValueAtTime(0.0001, at + length);
    tone.connect(shapeOf).connect(this.out);
    tone.start(at);
    tone.stop(at + length);
  }

  chance(bar, step) {
    let bits = (this.seed ^ (bar * 374761393 + step * 668265263)) >>> 0;
    bits = Math.imul(bits ^ (bits >>> 13), 1274126177) >>> 0;
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  }
}
