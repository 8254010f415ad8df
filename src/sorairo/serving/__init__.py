"""The server: OpenAI's Videos API, our verbs and the studio page, on jobs that cannot be lost. See docs/serve.md."""
