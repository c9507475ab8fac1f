"""The checks after the schema: stages, explanations, the second opinion and the children they run in."""
