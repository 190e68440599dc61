"use strict";
const form = document.getElementById("form");
const message = document.getElementById("message");
const result = document.getElementById("result");
const affinities = document.getElementById("affinities"); // none where the network has none
const drops = [...document.querySelectorAll(".drop")];
let size = [1, 1]; // height and width of the pair that is shown
let latest = 0; // of several answers, the last one asked for is shown

function say(text, isError) {
  message.textContent = text;
  message.className = isError ? "error" : "";
}

/** Ask the server about the files and fields of the form; null if it refuses, or is asked anew. */
async function ask(question, extra) {
  const number = ++latest;
  const given = new FormData(form);
  for (const drop of drops) if (!drop.querySelector("input").files.length) given.delete(drop.dataset.role);
  for (const [name, value] of Object.entries(extra || {})) given.set(name, value);
  let answer;
  try {
    answer = await (await fetch(question, { method: "POST", body: given })).json();
  } catch {
    answer = { error: "no answer: is mutualformer demo still running?" };
  }
  if (number !== latest) return null;
  // An image that is not there yet is no mistake; one RGB file may hold both, as the server knows.
  const isComplete = drops.every((drop) => drop.querySelector("input").files.length);
  say(answer.error || "", Boolean(answer.error) && isComplete);
  return answer.error ? null : answer;
}

async function predict() {
  for (const drop of drops) {
    const [file] = drop.querySelector("input").files;
    if (file) drop.querySelector("span").textContent = file.name;
  }
  result.hidden = true;
  document.getElementById("remarks").replaceChildren();
  say("Computing …");
  const answer = await ask("predict");
  if (!answer) return;
  size = answer.size;
  for (const [name, url] of Object.entries(answer.pictures)) {
    const picture = document.querySelector(`[data-picture=${name}]`);
    picture.src = url;
    picture.alt = name;
    // What the network sees is of another shape; an overlay may have a legend below it.
    picture.style.aspectRatio = name === "overlay" ? "auto" : `${size[1]} / ${size[0]}`;
  }
  const file = document.getElementById("file");
  file.href = answer.file;
  file.download = `${answer.name}.png`;
  document.getElementById("remarks").replaceChildren(...answer.remarks.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  if (affinities) affinities.hidden = true;
  for (const ring of document.querySelectorAll(".frame i")) ring.style.display = "none";
  result.hidden = false;
}

/** Height of a picture as shown, in heights of the image: more than 1 where a legend is below it. */
function tall(picture) {
  return (picture.clientHeight / picture.clientWidth) * (size[1] / size[0]);
}

async function choose(event) {
  const picture = event.target;
  const box = picture.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width;
  const y = ((event.clientY - box.top) / box.height) * tall(picture);
  if (y > 1) return; // the legend
  const answer = await ask("affinities", { x: Math.max(x, 0), y: Math.max(y, 0) });
  if (!answer) return;
  affinities.hidden = false;
  [...affinities.querySelectorAll("figure")].forEach((figure, index) => {
    const { picture: url, range } = answer.maps[index];
    const image = figure.querySelector("img");
    image.src = url;
    image.alt = figure.querySelector("figcaption").textContent.trim();
    image.style.aspectRatio = `${size[1]} / ${size[0]}`;
    figure.querySelector("span").textContent = range;
  });
  for (const frame of document.querySelectorAll(".frame")) {
    const ring = frame.querySelector("i");
    ring.style.display = "block";
    ring.style.left = `${100 * answer.token[1]}%`;
    ring.style.top = `${(100 * answer.token[0]) / tall(frame.querySelector("img"))}%`;
  }
}

for (const drop of drops) {
  const over = (is) => (event) => { event.preventDefault(); drop.classList.toggle("over", is); };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    if (!event.dataTransfer.files.length) return;
    drop.querySelector("input").files = event.dataTransfer.files;
    predict();
  });
}
// A file dropped beside its place would replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());

form.addEventListener("change", predict);
form.addEventListener("submit", (event) => event.preventDefault());
if (affinities) {
  document.body.classList.add("clickable");
  for (const picture of document.querySelectorAll("[data-picture]")) picture.addEventListener("click", choose);
}
