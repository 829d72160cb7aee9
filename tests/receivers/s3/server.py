"""S3 server for tests, in an environment of its own: moto's, with one bucket. Prints its port; ends with its input."""

import sys

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "threada"

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_host, port = server.get_host_and_port()
client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
client.create_bucket(Bucket=BUCKET)
print(port, flush=True)
sys.stdin.read()
