# Not built where it was written; see docs/serve.md.
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 sorairo && mkdir /data && chown sorairo /data
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt torch && pip install --no-cache-dir -c constraints.txt ".[serve,safety]"
USER 1000
# The keys that sign files stay with the data.
ENV SORAIRO_PROVENANCE=/data/provenance
VOLUME /data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/ready')"]
ENTRYPOINT ["sorairo"]
CMD ["serve", "--host", "0.0.0.0", "--folder", "/data"]
