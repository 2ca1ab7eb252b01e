import { contentOf, contentText } from "/ptformat/viewer/content.js";
import { FormatError } from "/ptformat/viewer/errors.js";
import { TensorFile } from "/ptformat/viewer/reader.js";

/** Every case of the suite, read from a Blob, as a page reads a file that is dropped on it; the answers are posted. */

async function content(file) {
  return JSON.parse(contentText(await contentOf(file)));
}

async function answer(blob, work) {
  try {
    const file = await TensorFile.open(blob);
    return { result: "ok", content: await work(file) };
  } catch (error) {
    if (error instanceof FormatError) return { result: "reject", code: error.code };
    return { result: "error", message: `${error}\n${error.stack}` };
  }
}

const { cases } = await (await fetch("/conformance/cases/manifest.json")).json();
const answers = {};
for (const { id, file } of cases) {
  const blob = await (await fetch(`/conformance/cases/${file}`)).blob();
  answers[id] = {
    decode: await answer(blob, content),
    verify: await answer(blob, async (open) => { await open.verify(); }),
  };
}
await fetch("/answers", { method: "POST", body: JSON.stringify(answers) });
