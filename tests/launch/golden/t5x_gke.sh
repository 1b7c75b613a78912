# create
gcloud container clusters describe CLUSTER >/dev/null 2>&1 ||
  xpk cluster create --cluster CLUSTER --tpu-type=v5litepod-16 --num-slices=1 --on-demand
gcloud container clusters get-credentials CLUSTER

# install
bash launch/pack.sh build/babeldraw.tar.gz /clones
bash launch/image.sh build/babeldraw.tar.gz REGISTRY/babeldraw:1 t5x,tpu

# start
kubectl delete jobset babeldraw-t5x --ignore-not-found --wait=true
kubectl apply --filename=- <<'END'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: babeldraw-t5x
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 50
    rules:
    - name: wrongrecipe
      action: FailJobSet
      onJobFailureReasons:
      - PodFailurePolicy
  replicatedJobs:
  - name: workers
    replicas: 1
    template:
      spec:
        parallelism: 4
        completions: 4
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: train
              operator: In
              values:
              - 2
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 300
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: tpu-v5-lite-podslice
              cloud.google.com/gke-tpu-topology: 4x4
            containers:
            - name: train
              image: REGISTRY/babeldraw:1
              args:
              - t5x
              - train
              - --gin_file=gin/t5x/pretrain.gin
              - --gin_file=gin/models/350m.gin
              - --gin_file=gin/tokenizers/small_small.gin
              - --gin_file=gin/tasks/coco.gin
              - --config=configs/v5e_16.py
              - --gin.BATCH_SIZE=512
              - --gin.TOKENIZER_CHECKPOINT='gs://BUCKET/tokenizer'
              - --model_dir=gs://BUCKET/babeldraw-t5x
              env:
              - name: JAX_COORDINATOR_ADDRESS
                value: babeldraw-t5x-workers-0-0.babeldraw-t5x:8476
              - name: JAX_NUM_PROCESSES
                value: '4'
              - name: BABELDRAW_JOIN_SECONDS
                value: '900'
              - name: BABELDRAW_T5X_DIR
                value: build/t5x
              - name: JAX_PROCESS_ID
                valueFrom:
                  fieldRef:
                    fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
              ports:
              - containerPort: 8476
              resources:
                limits:
                  google.com/tpu: 4
END

# logs
kubectl wait \
    --for=condition=Ready pod \
    --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-t5x,batch.kubernetes.io/job-completion-index=0 \
    --timeout=1h || true
kubectl logs \
    --follow \
    --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-t5x,batch.kubernetes.io/job-completion-index=0 \
    --tail=-1

# status (later, by --do=status)
kubectl get jobset babeldraw-t5x
kubectl get pods --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-t5x --output=wide

# stop (later, by --do=stop)
kubectl patch jobset babeldraw-t5x --type=merge --patch='{"spec":{"suspend":true}}'

# delete (later, by --do=delete)
kubectl delete jobset babeldraw-t5x --ignore-not-found

# The same job by xpk, in place of `start`:
xpk workload create \
    --workload=babeldraw-t5x \
    --cluster=CLUSTER \
    --tpu-type=v5litepod-16 \
    --docker-image=REGISTRY/babeldraw:1 \
    --max-restarts=50 \
    --command='python -m babeldraw.cli.main t5x train --gin_file=gin/t5x/pretrain.gin --gin_file=gin/models/350m.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_16.py --gin.BATCH_SIZE=512 '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-t5x'

# The cluster costs money until it is deleted:
xpk cluster delete --cluster=CLUSTER
