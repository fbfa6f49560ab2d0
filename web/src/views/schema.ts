// A JSON Schema as the fields of a form, where it is simple enough; else one text of JSON.
export interface Field {
  name: string;
  about: string;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "json";
  choices: string[];
  required: boolean;
}

type Schema = Record<string, unknown>;
const isObject = (value: unknown): value is Schema => typeof value === "object" && value !== null && !Array.isArray(value);

function fieldOf(name: string, schema: unknown, required: boolean): Field {
  const one = isObject(schema) ? schema : {};
  const about = String(one.description ?? one.title ?? "");
  const choices = Array.isArray(one.enum) && one.enum.every((value) => typeof value === "string") ? one.enum as string[] : [];
  const kinds: Record<string, Field["kind"]> = { string: "text", number: "number", integer: "integer", boolean: "boolean" };
  const kind = choices.length ? "choice" : kinds[String(one.type)] ?? "json";
  return { name, about, kind, choices, required };
}

/** The fields of an object, one field for a plain value, or null if the schema says too much. */
export function fieldsOf(schema: unknown): { fields: Field[]; whole: boolean } | null {
  if (!isObject(schema)) return null;
  if (schema.type === "object" && isObject(schema.properties)) {
    const required = Array.isArray(schema.required) ? schema.required : [];
    return { fields: Object.entries(schema.properties).map(([name, one]) => fieldOf(name, one, required.includes(name))), whole: false };
  }
  const field = fieldOf("", schema, true);
  return field.kind === "json" ? null : { fields: [field], whole: true };
}

/** Reads what was written into a field; undefined for what is left out. */
export function readField(field: Field, text: string): unknown {
  if (field.kind === "boolean") return text === "true";
  if (text === "" && !field.required) return undefined;
  if (field.kind === "number" || field.kind === "integer") {
    const value = Number(text);
    if (text.trim() === "" || Number.isNaN(value) || (field.kind === "integer" && !Number.isInteger(value))) {
      throw new Error(`${field.name || "The answer"} has to be ${field.kind === "integer" ? "a whole number" : "a number"}.`);
    }
    return value;
  }
  if (field.kind === "json") return JSON.parse(text);
  return text;
}
