"""Opens a report in headless Chromium, at any width, light or dark."""

import contextlib
import html
import json
import re
import shutil
import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# The report is in a frame, which can be as narrow as needed; windows have a minimum width.
_WRAPPER = """<!doctype html><html style="color-scheme: light dark"><meta charset="utf-8">
<body style="margin: 0; overflow: hidden">
<iframe id="frame" style="border: 0; display: block; width: %(width)dpx; height: %(height)dpx;
  margin-top: %(top)dpx"></iframe>
<pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = () => { %(script)s };
frame.srcdoc = %(page)s;
</script>"""

# Inspects every piece of text: its colour, and the colour behind it.
_LOOK = """
const page = frame.contentDocument, view = frame.contentWindow;
page.querySelectorAll("details").forEach(each => each.open = true);
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = color => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = color => {
  const [r, g, b] = color.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = rgba(view.getComputedStyle(e).backgroundColor);
    if (color[3] === 255) return color;
  }
  return [255, 255, 255, 255];
};
const texts = [];
const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
  if (!text || element.closest("title, desc, style")) continue;
  const style = view.getComputedStyle(element);
  const color = rgba(element.closest("svg") ? style.fill : style.color);
  const [a, b] = [light(color), light(behind(element))].sort((x, y) => y - x);
  texts.push([(a + 0.05) / (b + 0.05), text.slice(0, 40), element.tagName]);
}
texts.sort((x, y) => x[0] - y[0]);
const small = [...page.querySelectorAll("svg text")].map(e => {
  const svg = e.closest("svg");
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return parseFloat(view.getComputedStyle(e).fontSize) * scale;
});
const outside = [...page.querySelectorAll("svg text")].filter(e => {
  const a = e.getBoundingClientRect(), b = e.closest("svg").getBoundingClientRect();
  return b.width && (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1
    || a.bottom > b.bottom + 1);
}).map(e => e.textContent);
document.getElementById("found").textContent = JSON.stringify({
  width: view.innerWidth, dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
  scrollWidth: page.documentElement.scrollWidth, clientWidth: page.documentElement.clientWidth,
  height: page.documentElement.scrollHeight, contrast: texts.slice(0, 5), texts: texts.length,
  paper: rgba(view.getComputedStyle(page.body).backgroundColor),
  smallestText: Math.min(...small), outside: outside,
});
"""


def look(page, directory, width, dark=False):
    """Inspects a page in a browser.

    Args:
        page: the HTML.
        directory: a directory for temporary files.
        width: width of the page in pixels.
        dark: whether the reader prefers dark pages.

    Returns:
        a dict of what `_LOOK` finds, and `errors`, the lines of the console.
    """
    process = _chromium(
        page, directory, width, 900, dark, _LOOK, "--dump-dom", "--enable-logging=stderr"
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', process.stdout, re.DOTALL)
    errors = [line for line in process.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(found[1])), "errors": errors}


def photograph(page, directory, image, width, height, top=0, dark=False):
    """Writes a PNG of the part of a page that begins `top` pixels below its beginning."""
    _chromium(
        page, directory, width, height, dark, "", f"--screenshot={image}", top=top
    )  # fmt: skip


def _chromium(page, directory, width, height, dark, script, *options, top=0):
    # A script tag in the page must not end the wrapper's script.
    text = json.dumps(page).replace("</", "<\\/").replace("<!--", "<\\!--")
    values = {"width": width, "height": height + top, "top": -top, "script": script, "page": text}
    wrapper = directory / "wrapper.html"
    wrapper.write_text(_WRAPPER % values, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={max(width, 500)},{height}", "--timeout=20000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command += ["--disable-dev-shm-usage", *options]
    for attempt in range(3):  # on a busy machine Chromium does not always exit
        profile = f"--user-data-dir={directory / f'profile-{attempt}'}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(
                [*command, profile, wrapper.as_uri()], capture_output=True, text=True, timeout=60
            )
    raise AssertionError("Chromium did not exit within a minute, three times.")
