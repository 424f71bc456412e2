// Pictures a page as a phone shows it. Arguments: the browser's program, the page's address, where the picture goes.
const { chromium, devices } = require("/playwright/package");

const [browser, address, picture] = process.argv.slice(2);
const phone = { ...devices["Pixel 7"], viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };

(async () => {
  const running = await chromium.launch({ executablePath: browser, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const page = await running.newPage({ ...phone, reducedMotion: "reduce" });
  await page.goto(address, { waitUntil: "load", timeout: 15000 });
  // A page that never rests, such as one that polls, is pictured as it is by then.
  await page.waitForLoadState("networkidle", { timeout: 4000 }).catch(() => {});
  await page.screenshot({ path: picture, animations: "disabled" });
  await running.close();
})().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
