/** The release of this SDK, as package.json says. */
export const sdkVersion = '0.5.0';
