# Run `make wheel` first: the image installs the wheel in dist/ and builds nothing itself.
FROM python:3.11-slim

COPY deploy/install.sh dist/ /tmp/dist/
RUN sh /tmp/dist/install.sh /opt/tallybook /tmp/dist && rm -r /tmp/dist

ENV PATH=/opt/tallybook/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BILLING_HOST=0.0.0.0

# Any other user does too, and the root file system can be read-only: with DATABASE_URL and
# BILLING_JWT_SECRET set, nothing is written.
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --start-period=30s --interval=10s --timeout=5s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/api/health/ready', timeout=4)"]
ENTRYPOINT ["billing"]
CMD ["serve"]
