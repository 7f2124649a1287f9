// `/docs`: a form for each call of openapi.json, which sends it and shows the answer.

const FILE = "application/octet-stream";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function labelled(text, input) {
  return element("label", {}, `${text} `, input);
}

// Text with `code` in backticks, as nodes.
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", { textContent: part }) : part));
}

// The inputs of one call: parts of its path, its files, and its fields.
function inputsOf(operation) {
  const inputs = [];
  const form = operation.requestBody?.content["multipart/form-data"]?.schema.properties ?? {};
  for (const { name, in: place } of operation.parameters ?? []) {
    if (place === "path") inputs.push({ name, place, input: element("input", { name, required: true }) });
  }
  for (const [name, schema] of Object.entries(form)) {
    const isFile = (schema.items ?? schema).contentMediaType === FILE;
    const input = isFile
      ? element("input", { name, type: "file", multiple: schema.type === "array" })
      : element("input", { name, placeholder: schema.type ?? "" });
    inputs.push({ name, place: isFile ? "file" : "field", input });
  }
  return inputs;
}

function requestOf(path, method, inputs, key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const body = new FormData();
  let url = path;
  for (const { name, place, input } of inputs) {
    if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (place === "file") for (const file of input.files) body.append(name, file);
    else if (input.value !== "") body.append(name, input.value);
  }
  const hasBody = inputs.some(({ place }) => place !== "path");
  return [url.slice(1), { method: method.toUpperCase(), headers, ...(hasBody ? { body } : {}) }];
}

async function shown(response) {
  const text = await response.text();
  try {
    return `${response.status}\n${JSON.stringify(JSON.parse(text), null, 2)}`;
  } catch {
    return `${response.status}\n${text}`;
  }
}

function call(path, method, operation) {
  const inputs = inputsOf(operation);
  const answer = element("pre", { hidden: true });
  const form = element(
    "form",
    {},
    ...inputs.map(({ name, input }) => labelled(name, input)),
    element("button", { textContent: "Send" }),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const key = document.getElementById("key").value.trim();
      answer.textContent = await shown(await fetch(...requestOf(path, method, inputs, key)));
    } catch (error) {
      answer.textContent = `The server did not answer: ${error.message}`;
    }
  });
  const found = Object.entries(operation.responses).find(([status]) => status !== "default");
  const example = found?.[1].content["application/json"]?.example;
  return element(
    "details",
    { id: operation.operationId },
    element("summary", {}, element("code", { textContent: `${method.toUpperCase()} ${path}` }), " ", ...prose(operation.summary)),
    element("p", { textContent: operation.description ?? "Open to everybody." }),
    form,
    answer,
    ...(example === undefined
      ? []
      : [element("p", { textContent: "An example of the reply:" }), element("pre", { textContent: JSON.stringify(example, null, 2) })]),
  );
}

async function start() {
  const response = await fetch("openapi.json");
  const { paths } = await response.json();
  const calls = document.getElementById("calls");
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) calls.append(call(path, method, operation));
  }
}

start().catch((error) => {
  document.getElementById("notice").textContent = `The description cannot be read: ${error.message}`;
});
