// Line icons on a 20 x 20 grid. They are decoration: the button around one carries the name.
import { html } from "htm/preact";

const PATHS = {
  generate: "M10 2.5l1.7 4.8 4.8 1.7-4.8 1.7L10 15.5l-1.7-4.8L3.5 9l4.8-1.7zM16 13v4M14 15h4",
  animate: "M3 4h9v12H3zM12 7l5-2v10l-5-2",
  extend: "M3 6h7v8H3zM12 6h2M12 14h2M16.5 6h.5v1.5M17 12.5V14h-.5M13 10h4M15.5 8.3L17.2 10l-1.7 1.7",
  loop: "M4 9a5 5 0 0 1 5-4h4M11 2.5L13.5 5 11 7.5M16 11a5 5 0 0 1-5 4H7M9 12.5L6.5 15 9 17.5",
  connect: "M2.5 6.5h4v7h-4zM13.5 6.5h4v7h-4zM8 10h4",
  recut: "M3 6h14v8H3zM7 4v12M13 4v12",
  edit: "M4 16l1-4 8.5-8.5 3 3L8 15z M11.5 5.5l3 3",
  remix: "M3 6h3c4 0 4 8 8 8h3M15 11.5l2.5 2.5-2.5 2.5M3 14h3c1.200 0 2-.7 2.700-1.700M11.300 7.700C12 6.700 12.800 6 14 6h3M15 3.5L17.5 6 15 8.5",
  storyboard: "M3 4h6v5H3zM11 4h6v5h-6zM3 11h6v5H3zM11 11h6v5h-6z",
  blend: "M12.5 10a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0zM16.5 10a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0z",
  region: "M3 14h4M13 14h4M4.5 8.500a2 2 0 1 0 4 0a2 2 0 1 0-4 0M9.500 8.500h6M13.500 6.500l2 2-2 2",
  play: "M6 4l10 6-10 6z", pause: "M6 4v12M14 4v12",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.600L14 6",
  download: "M10 3v9M6.5 9L10 12.5 13.5 9M4 16h12",
  compare: "M10 3v14M3 5.5h4.5v9H3M17 5.5h-4.5v9H17",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3", plan: "M4 4h12v12H4zM7 8h6M7 11h4",
  shield: "M10 2.5l6 2.200v5c0 4-2.500 6.500-6 7.800-3.500-1.300-6-3.800-6-7.800v-5zM7.5 9.5l2 2 3.500-4",
  close: "M5 5l10 10M15 5L5 15", plus: "M10 4v12M4 10h12", search: "M14 14l3 3M15 9A6 6 0 1 1 3 9a6 6 0 0 1 12 0z",
  sun: "M13 10a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM10 2v2M10 16v2M2 10h2M16 10h2M4.300 4.300l1.400 1.400M14.300 14.300l1.400 1.400M15.700 4.300l-1.400 1.400M5.700 14.300l-1.400 1.400",
  moon: "M16.5 12.5A7 7 0 0 1 7.5 3.5a7 7 0 1 0 9 9z", help: "M7.5 7.5a2.5 2.5 0 1 1 3.5 2.300c-.7.4-1 .9-1 1.700M10 14.5v.2",
  dice: "M4 4h12v12H4zM7.5 7.5v.1M12.5 12.5v.1M10 10v.1M12.5 7.5v.1M7.5 12.5v.1", undo: "M7 5L3.5 8.5 7 12M4 8.5h8a4 4 0 0 1 0 8H9",
  image: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 3M13 7.5v.1", film: "M3 4h14v12H3zM7 4v12M13 4v12M3 8h4M3 12h4M13 8h4M13 12h4",
  wand: "M4 16L13 7M12 3v2M16 7h2M15.5 3.5l-1 1M15.5 10.5l-1-1", chevron: "M6 8l4 4 4-4", larger: "M12 3h5v5M17 3l-6 6M8 17H3v-5M3 17l6-6", reuse: "M4 10a6 6 0 1 0 2-4.5M4 3v3.5h3.5",
};

export const Icon = ({ name, size = 18 }) => html`<svg class="icon" width=${size} height=${size} viewBox="0 0 20 20" fill="none"
  stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

// A circle above a horizon: the sun in a sky.
export const Logo = () => html`<svg class="logo" width="30" height="30" viewBox="0 0 32 32" aria-hidden="true">
  <defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#2f8fd6" /><stop offset=".62" stop-color="#9ed3f3" />
  <stop offset="1" stop-color="#ffd9b8" /></linearGradient></defs><rect width="32" height="32" rx="9" fill="url(#sky)" />
  <circle cx="16" cy="17.5" r="6" fill="#fff" /><path d="M0 22h32v1a9 9 0 0 1-9 9H9a9 9 0 0 1-9-9z" fill="#0d4f86" fill-opacity=".85" /></svg>`;
