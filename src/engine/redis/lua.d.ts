/** Bundled as text, so that the executable carries its scripts. */
declare module "*.lua" {
  const text: string;
  export default text;
}
